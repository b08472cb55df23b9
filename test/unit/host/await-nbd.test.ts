import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { awaitNbd } from '../../../src/host/disk/await-nbd.ts';

let folder: string;
let server: Server | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nbd-'));
});
afterEach(async () => {
  server?.close();
  server = undefined;
  await rm(folder, { recursive: true });
});

const explain = (why: unknown) => new Error(`explained: ${(why as Error).message}`);

test('a server that breaks the connection off, and says why a moment later, is believed what it says', async () => {
  const socket = join(folder, 'nbd');
  // As qemu-nbd does with an image that another program has locked.
  const { promise: program, reject } = Promise.withResolvers<void>();
  server = createServer((connection) => {
    connection.destroy();
    setTimeout(() => reject(new Error('the image is locked')), 200);
  }).listen(socket);
  await expect(awaitNbd({ socket, program, explain })).rejects.toThrow('explained: the image is locked');
});

test('a server that ends before it listens is believed what it says', async () => {
  const program = delay(50).then(() => Promise.reject(new Error('no such format')));
  await expect(awaitNbd({ socket: join(folder, 'nbd'), program, explain })).rejects.toThrow(
    'explained: no such format',
  );
});

test('a server that ends well without having served is told', async () => {
  await expect(
    awaitNbd({ socket: join(folder, 'nbd'), program: Promise.resolve(), explain }),
  ).rejects.toThrow('explained: qemu-nbd ended early');
});

test('an interruption ends the wait', async () => {
  const program = new Promise(() => {});
  const signal = AbortSignal.timeout(50);
  await expect(awaitNbd({ socket: join(folder, 'nbd'), program, explain, signal })).rejects.toThrow(
    /timeout/,
  );
});
