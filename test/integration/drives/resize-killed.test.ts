import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resizeDrive } from '../../../src/drives/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import {
  copyOf,
  cutShort,
  cvm,
  env,
  expectPlain,
  expectWhole,
  makeSample,
  mib,
  mounts,
  type Sample,
} from './resize-drive.ts';

let top: WorkDirectory;
let sample: Sample;
beforeAll(async () => {
  top = await workDirectory({ bytes: 2 ** 30 });
  sample = await makeSample(top.path);
});
afterAll(async () => {
  await top[Symbol.asyncDispose]();
});

interface Run {
  child: ChildProcess;
  ended: Promise<{ code: number | null; stderr: string }>;
  /** It says that it is about to rename. */
  installing: Promise<void>;
}

function resize(drive: string, ...args: string[]): Run {
  const child = spawn(process.execPath, [cvm, 'drive', 'resize', drive, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stderr = '';
  const { promise: installing, resolve: install } = Promise.withResolvers<void>();
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
    if (stderr.includes('putting the new drive in place')) install();
  });
  // 'exit', not 'close': a helper that outlives it keeps the pipe open.
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.once('exit', (code) => setImmediate(() => resolve({ code, stderr }))),
  );
  return { child, ended, installing };
}

/** A process and all below it, from the bottom up. */
async function family(pid: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const name of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const text = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '');
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (top: number): number[] => [...(children.get(top) ?? []).flatMap(below), top];
  return below(pid);
}

const changes = [
  { args: ['+1G'], to: 1280 * mib },
  { args: ['100M'], to: 100 * mib },
  { args: ['+1G', '--copy'], to: 1280 * mib },
  { args: ['128M'], to: 128 * mib },
];

test.each([
  { when: 'at 50 random moments', rounds: 50, late: false },
  { when: 'at 20 random moments while the new drive is put in place', rounds: 20, late: true },
])('killed $when: the drive is whole each time, and a second run completes it', {
  timeout: 3_600_000,
}, async ({ rounds, late }) => {
  const seen = { old: 0, overlay: 0, done: 0 };
  const folder = join(top.path, 'killed');
  let longest = late ? 300 : 1000;
  for (let round = 0; round < rounds; round++) {
    const { args, to } = changes[round % changes.length]!;
    const everything = round % 8 >= 4;
    const drive = await copyOf(sample, folder);
    const began = performance.now();
    const { child, ended, installing } = resize(drive, ...args);
    if (late) await Promise.race([installing, ended]);
    // A first run to the end shows how long one takes now.
    const moment = round === 0 && !late ? 600_000 : Math.random() * longest;
    const stop = new AbortController();
    await Promise.race([delay(moment, undefined, { signal: stop.signal }).catch(() => {}), ended]);
    stop.abort();
    const pids = child.exitCode !== null ? [] : everything ? await family(child.pid!) : [child.pid!];
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await ended;
    if (pids.length === 0 && !late) longest = performance.now() - began;
    const where = `round ${round}, ${args.join(' ')}, ${everything ? 'all' : 'one'} killed after ${Math.round(moment)} ms`;

    // What others find under the drive's name, at once.
    const left = await readdir(folder);
    const size = await expectWhole(drive, sample, where);
    expect([sample.bytes, to], where).toContain(size);
    const plain = left.every((name) => !name.startsWith('.'));
    seen[size !== to ? 'old' : plain ? 'done' : 'overlay']++;
    if (size !== to || !plain) {
      const again = await resize(drive, ...args).ended;
      expect(again.code, `${where}: ${again.stderr}`).toBe(0);
    }
    expect(await expectWhole(drive, sample, where), where).toBe(to);
    await expectPlain(drive, undefined, where);
  }
  process.stderr.write(`killed: ${JSON.stringify(seen)}\n`);
  expect(late ? seen.overlay : seen.old).toBeGreaterThan(0);
  expect(await mounts()).toEqual([]);
});

/** A small file system of its own, which can be filled; only root can make one. */
async function smallDisk(
  bytes: number,
): Promise<AsyncDisposable & { path: string; fill(): Promise<void>; empty(): Promise<void> }> {
  const path = join(top.path, 'small');
  await mkdir(path, { recursive: true });
  await execa('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', path]);
  const ballast = join(path, 'ballast');
  return {
    path,
    async fill() {
      await using file = await open(ballast, 'a');
      for (const size of [mib, 4096]) {
        try {
          for (;;) await file.appendFile(Buffer.alloc(size, 1));
        } catch {
          // ENOSPC
        }
      }
    },
    empty: () => rm(ballast, { force: true }),
    async [Symbol.asyncDispose]() {
      await execa('umount', [path]);
    },
  };
}

test.runIf(process.getuid?.() === 0)(
  'a disk that is full before stops it at once; one that fills up at random moments leaves the drive whole, and a second run completes it',
  { timeout: 3_600_000 },
  async () => {
    await using disk = await smallDisk(256 * mib);
    const folder = join(disk.path, 'drive');
    const full = await copyOf(sample, folder);
    const before = await readFile(full);
    await disk.fill();
    await expect(resizeDrive(full, { size: '+1G' })).rejects.toThrow(
      /has \d+ MiB free, and up to \d+ MiB are needed/,
    );
    await expect(resizeDrive(full, { size: '+1G', method: 'copy' })).rejects.toThrow(/MiB are needed/);
    expect((await readFile(full)).equals(before)).toBe(true);
    await expectPlain(full);
    let longest = 3000;
    const failed: string[] = [];
    for (let round = 0; round < 12; round++) {
      await disk.empty();
      const { args, to } = changes[round % changes.length]!;
      const drive = await copyOf(sample, folder);
      const began = performance.now();
      const run = resize(drive, ...args);
      const moment = Math.random() * longest;
      await Promise.race([delay(moment), run.ended]);
      await disk.fill();
      const { code, stderr } = await run.ended;
      if (code === 0) longest = performance.now() - began;
      else failed.push(stderr);
      const where = `round ${round}, ${args.join(' ')}, full after ${Math.round(moment)} ms, status ${code}: ${stderr}`;
      const size = await expectWhole(drive, sample, where);
      expect([sample.bytes, to], where).toContain(size);
      await disk.empty();
      if (code !== 0) {
        const again = await resize(drive, ...args).ended;
        expect(again.code, `${where}; again: ${again.stderr}`).toBe(0);
      }
      expect(await expectWhole(drive, sample, where), where).toBe(to);
      await expectPlain(drive, undefined, where);
    }
    process.stderr.write(`filled: ${failed.length} of 12 failed: ${failed.join('\n')}\n`);
    expect(failed.length).toBeGreaterThan(0);
  },
);

test.runIf(process.getuid?.() === 0)(
  'a disk that fills up while the new drive is merged leaves the new drive, and a second run completes it',
  async () => {
    await using disk = await smallDisk(64 * mib);
    const drive = await copyOf(sample, join(disk.path, 'drive'));
    await cutShort(drive, '512M');
    await execa('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xab 300M 8M', drive]);
    const intact = async () => {
      const { stdout } = await execa('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0xab 300M 8M', drive]);
      expect(stdout).not.toMatch(/Pattern verification failed/);
    };
    await disk.fill();
    await expect(resizeDrive(drive, { size: '512M' })).rejects.toMatchObject({
      message: expect.stringContaining('No space left on device'),
      hint: 'make room, and run the same command again',
      details: [expect.stringContaining('The drive is whole and has its new size')],
    });
    await intact();
    await disk.empty();
    expect(await resizeDrive(drive, { size: '512M' })).toMatchObject({ outcome: 'completed' });
    await intact();
    await expectPlain(drive);
  },
);
