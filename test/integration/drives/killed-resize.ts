import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { expect } from 'vitest';
import { copyOf, cvm, env, expectPlain, expectWhole, mib, type Sample } from './resize-drive.ts';

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

/** Where it is killed: anywhere, or while the new drive is put in place; and how often. */
export interface Killing {
  rounds: number;
  late: boolean;
}

/**
 * Resizes copies of a sample in `folder` and kills each at another moment: the command alone, or all that it started as well. Each drive
 * must be whole, and whole with its new size after a second run.
 * @returns how often the drive's name led to the old drive, to the new one not merged yet, and to the new one alone
 */
export async function killResizes(
  sample: Sample,
  folder: string,
  { rounds, late }: Killing,
): Promise<{ old: number; overlay: number; done: number }> {
  const seen = { old: 0, overlay: 0, done: 0 };
  let longest = 0;
  for (let round = 0; round < rounds; round++) {
    const { args, to } = changes[round % changes.length]!;
    const everything = round % 8 >= 4;
    const drive = await copyOf(sample, folder);
    const started = performance.now();
    const { child, ended, installing } = resize(drive, ...args);
    if (late) await Promise.race([installing, ended]);
    const began = late ? performance.now() : started;
    // A first run to its end shows how long there is; the moments are spread over all of it.
    const moment = round === 0 ? 600_000 : ((round - Math.random()) / (rounds - 1)) * longest;
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
    if (pids.length === 0) longest = performance.now() - began;
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
  return seen;
}

/** A file system that can be filled to its last block, and emptied again. */
export interface SmallDisk extends AsyncDisposable {
  path: string;
  fill(): Promise<void>;
  empty(): Promise<void>;
}

/** A small file system at `path`, which can be filled; only root can make one. */
export async function smallDisk(path: string, bytes: number): Promise<SmallDisk> {
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

/**
 * Resizes copies of a sample on a disk that fills up at another moment each time. Each drive must be whole, and whole with its new size
 * after a second run.
 * @returns what the runs said that failed
 */
export async function fillDisks(sample: Sample, disk: SmallDisk, rounds: number): Promise<string[]> {
  const folder = join(disk.path, 'drive');
  let longest = 2000;
  const failed: string[] = [];
  for (let round = 0; round < rounds; round++) {
    await disk.empty();
    const { args, to } = changes[round % changes.length]!;
    const drive = await copyOf(sample, folder);
    const began = performance.now();
    const run = resize(drive, ...args);
    const moment = ((round + Math.random()) / rounds) * longest;
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
  process.stderr.write(`filled: ${failed.length} of ${rounds} failed: ${failed.join('\n')}\n`);
  return failed;
}
