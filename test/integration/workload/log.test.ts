import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

const script = templatePath('site/workload-log');
const pieceKib = 64;

/** The guest's logger on a folder of this machine, stopped with its scope. */
class Logger implements AsyncDisposable {
  readonly folder: string;
  readonly #child;

  constructor(folder: string, limitKib: number, wrapped: readonly string[] = []) {
    this.folder = folder;
    execFileSync('mkfifo', [this.pipe]);
    const [program, ...args] = [
      ...wrapped,
      'sh',
      script,
      join(folder, 'log'),
      this.pipe,
      String(limitKib),
    ] as const;
    this.#child = spawn(program!, args, { detached: true, stdio: ['ignore', 'inherit', 'pipe'] });
  }

  static async make(limitKib: number, wrapped: readonly string[] = []): Promise<Logger> {
    const folder = await mkdtemp(join(tmpdir(), 'log-test-'));
    execFileSync('mkdir', [join(folder, 'log')]);
    return new Logger(folder, limitKib, wrapped);
  }

  get pipe(): string {
    return join(this.folder, 'pipe');
  }

  file(name: string): string {
    return join(this.folder, 'log', name);
  }

  /** One run of a workload that says this. */
  async say(...pieces: (string | Buffer)[]): Promise<void> {
    await using pipe = await open(this.pipe, 'w');
    for (const piece of pieces) await pipe.writeFile(piece);
  }

  /** Waits until all of a run is in the files, as workload-ended does. */
  async drained(): Promise<void> {
    const mark = `${this.pipe}.drained`;
    await expect.poll(() => existsSync(mark), { timeout: 20_000, interval: 20 }).toBe(true);
    await rm(mark);
  }

  async [Symbol.asyncDispose]() {
    process.kill(-this.#child.pid!, 'SIGKILL');
    await once(this.#child, 'close');
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Numbered lines: what is lost or doubled shows. */
function numberedLines(bytes: number): Buffer {
  const lines: string[] = [];
  for (let n = 0; n * 16 < bytes; n++) lines.push(`${String(n).padStart(15, '0')}\n`);
  return Buffer.from(lines.join(''));
}

describe('the log of the workload', () => {
  it('has a line as soon as it was said, while the workload runs on', async () => {
    await using logger = await Logger.make(1024);
    await using pipe = await open(logger.pipe, 'w');
    await pipe.writeFile('one line\n');
    const text = () => readFile(logger.file('workload.log'), 'utf8').catch(() => '');
    await expect.poll(text, { timeout: 5000 }).toBe('one line\n');
    expect(existsSync(`${logger.pipe}.drained`)).toBe(false);
  });

  it('goes on in the same file over runs', async () => {
    await using logger = await Logger.make(1024);
    await logger.say('first\n');
    await logger.drained();
    await logger.say('second\n');
    await logger.drained();
    expect(await readFile(logger.file('workload.log'), 'utf8')).toBe('first\nsecond\n');
    expect(readdirSync(join(logger.folder, 'log'))).toEqual(['workload.log']);
  });

  it('turns to a new file by size, keeps the one before, and loses nothing between', async () => {
    await using logger = await Logger.make(2048);
    const said = numberedLines(20 * 2 ** 20);
    await logger.say(said);
    await logger.drained();
    const before = await readFile(logger.file('workload.log.1'));
    const now = await readFile(logger.file('workload.log'));
    expect(before.length).toBeGreaterThanOrEqual(2 ** 21);
    for (const { length } of [before, now]) expect(length).toBeLessThanOrEqual((2048 + 4 * pieceKib) * 1024);
    const kept = Buffer.concat([before, now]);
    expect(kept.equals(said.subarray(said.length - kept.length))).toBe(true);
    expect(readdirSync(join(logger.folder, 'log')).sort()).toEqual(['workload.log', 'workload.log.1']);
  });

  it('holds bytes of every kind as they came', async () => {
    await using logger = await Logger.make(8192);
    const said = randomBytes(3_000_001);
    await logger.say(said);
    await logger.drained();
    const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    expect(hash(await readFile(logger.file('workload.log')))).toBe(hash(said));
  });

  it('replaces a link that was planted under the name of the file before, and does not follow it', async () => {
    await using logger = await Logger.make(128);
    const victim = join(logger.folder, 'victim');
    await writeFile(victim, 'untouched');
    await symlink(victim, logger.file('workload.log.1'));
    await logger.say(numberedLines(2 ** 20));
    await logger.drained();
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    expect((await stat(logger.file('workload.log.1'))).size).toBeGreaterThan(100_000);
  });

  it('neither follows nor waits for what is planted between its look and its writing', async () => {
    // Planted again and again while it writes: each time in the moment after its look.
    await using logger = await Logger.make(512);
    const victim = join(logger.folder, 'victim');
    await writeFile(victim, 'untouched');
    await logger.say('first\n');
    await logger.drained();
    const plant = `while [ ! -e ../stop ]; do rm -rf workload.log; mkfifo workload.log; rm -rf workload.log; ln -s ../victim workload.log; done`;
    const planter = spawn('sh', ['-c', plant], { cwd: logger.file('.'), stdio: 'ignore' });
    await logger.say(numberedLines(8 * 2 ** 20));
    await logger.drained();
    await writeFile(join(logger.folder, 'stop'), '');
    await once(planter, 'close');
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    await logger.say('the last line\n');
    await logger.drained();
    expect(await readFile(logger.file('workload.log'), 'utf8')).toContain('the last line\n');
  });

  it.each([
    ['a folder in the place of the file before', 'mkdir -p workload.log.1/x'],
    ['a pipe in the place of the log', 'rm -f workload.log && mkfifo workload.log'],
    ['a folder in the place of the log', 'rm -f workload.log && mkdir workload.log'],
  ])('replaces %s, which the workload made, and is not held up', async (_, plant) => {
    await using logger = await Logger.make(512);
    await logger.say('first\n');
    await logger.drained();
    execFileSync('sh', ['-c', plant], { cwd: logger.file('.') });
    await logger.say(numberedLines(4 * 2 ** 20));
    await logger.drained();
    await logger.say('the last line\n');
    await logger.drained();
    for (const name of ['workload.log', 'workload.log.1']) {
      const { size } = await stat(logger.file(name));
      expect(size).toBeLessThanOrEqual((512 + 4 * pieceKib) * 1024);
      expect(await readFile(logger.file(name), 'utf8')).not.toBe('');
    }
  });

  it('never stops the workload, though the drive is full and stays so', async () => {
    const full = 'mount -t tmpfs -o size=64k none "$0" && head -c 1M /dev/zero > "$0/filler"; exec "$@"';
    const folder = await mkdtemp(join(tmpdir(), 'log-test-'));
    execFileSync('mkdir', [join(folder, 'log')]);
    await using logger = new Logger(folder, 512, ['unshare', '-rm', 'sh', '-c', full, join(folder, 'log')]);
    await logger.say(numberedLines(8 * 2 ** 20));
    await logger.drained();
    await logger.say('still read\n');
    await logger.drained();
    expect(readdirSync(logger.file('.'))).toEqual([]);
  });

  it('makes room when the drive is full, and writes on', async () => {
    // A file ends at 1 MiB, long before the limit: the file before gives way, as on a drive that others filled.
    await using logger = await Logger.make(8192, [
      'sh',
      '-c',
      'trap "" XFSZ; ulimit -f 2048; exec "$@"',
      'sh',
    ]);
    const said = numberedLines(5 * 2 ** 20);
    await logger.say(said);
    await logger.drained();
    await logger.say('the last line\n');
    await logger.drained();
    const now = await readFile(logger.file('workload.log'), 'utf8');
    expect(now.endsWith('the last line\n')).toBe(true);
    expect((await stat(logger.file('workload.log.1'))).size).toBe(2 ** 20);
  });

  it.each([
    ['a link', 'ln -s /etc/passwd workload.log'],
    ['a link to nothing', 'ln -s missing workload.log'],
    ['a folder', 'mkdir workload.log'],
    ['a pipe', 'mkfifo workload.log'],
    ['a folder under the name of the file before', 'mkdir workload.log.1'],
  ])('is refused where its name is %s', async (_, plant) => {
    const folder = await mkdtemp(join(tmpdir(), 'log-test-'));
    try {
      const check = () => execa('sh', [script, folder], { reject: false, timeout: 10_000 });
      expect((await check()).exitCode).toBe(0);
      await rm(join(folder, 'workload.log'));
      execFileSync('sh', ['-c', plant], { cwd: folder });
      expect((await check()).exitCode).not.toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
