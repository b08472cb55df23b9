import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { type KbsServeFlags, kbsServeCommand } from '../../../src/cli/kbs-serve.ts';
import { ask } from './development-kbs.ts';

const command = new URL('../../../src/cli/kbs-serve.ts', import.meta.url).href;

test.each<[string, KbsServeFlags, string]>([
  ['an address without a port', { listen: 'localhost' }, 'cannot listen on "localhost"'],
  ['an unknown era', { listen: '127.0.0.1:1', era: 'old' }, 'cannot serve the era "old"'],
  ['an unknown fault', { listen: '127.0.0.1:1', fault: ['404'] }, 'cannot use the fault "404"'],
])('%s is refused as bad usage', async (_, flags, message) => {
  await expect(kbsServeCommand(flags)).rejects.toMatchObject({
    message: expect.stringContaining(message),
    status: 2,
  });
});

test('it serves until it is interrupted, and its log goes to standard output', async () => {
  const state = await mkdtemp(join(tmpdir(), 'kbs-serve-'));
  const address = `127.0.0.1:${await freePort()}`;
  const flags = { listen: address, era: 'main', inMemory: true, fault: ['500,first=1'] };
  const program = `await (await import('${command}')).kbsServeCommand(${JSON.stringify(flags)});`;
  const child = execa(process.execPath, ['--input-type=module', '--eval', program], {
    env: { XDG_STATE_HOME: state },
    reject: false,
  });
  try {
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (line.startsWith('no --digest')) {
        const caFile = /certificate authority (.*)$/.exec(lines[0]!)![1]!;
        expect(await readFile(caFile, 'utf8')).toContain('BEGIN CERTIFICATE');
        const kbs = { url: `https://${address}`, caFile };
        expect((await ask(kbs, 'GET', '/healthz')).status).toBe(500);
        expect((await ask(kbs, 'GET', '/healthz')).status).toBe(200);
        child.kill('SIGINT');
      }
    }
    expect(lines[0]).toContain(`development KBS (main) at https://${address}, certificate authority `);
    expect(lines.slice(-2).map((line) => line.replace(/^\S+ /, ''))).toEqual([
      'GET /healthz 500 none fault 500',
      'GET /healthz 200 none',
    ]);
    const { exitCode, signal, stderr } = await child;
    expect([exitCode, signal, stderr]).toEqual([0, undefined, '']);
  } finally {
    child.kill('SIGKILL');
    await child;
    await rm(state, { recursive: true });
  }
});

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
