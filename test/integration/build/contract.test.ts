import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { type ReaderOptions, readInTurns } from '../report/programs/read-in-turns.ts';
import { screen } from '../report/programs/screen.ts';
import { BuildBench } from './bench.ts';

// What FLARE's packager is promised, by the command that it runs: cvm_build.sh.
const command = join(projectRoot, 'cvm_build.sh');
const ready = /CVM Bundle\s+\S+\s+is ready/;
const limit = 16 * 1024;

let bench: BuildBench;
let archive: string;
beforeAll(async () => {
  bench = await BuildBench.make();
  archive = bench.path('target/site-1.tgz');
});
afterAll(() => bench?.[Symbol.asyncDispose]());
afterEach(async () => {
  await bench.clear();
  await bench.configure('image.tar.gz');
});

const environment = (more: NodeJS.ProcessEnv = {}) => ({
  ...{ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: bench.folder },
  ...{ XDG_CACHE_HOME: bench.path('cache'), XDG_STATE_HOME: bench.path('state') },
  ...more,
});
const args = () => ['--dev', '--config', bench.path('builder.yml'), bench.path('cc_site-1.yml')];
const inTurns = (options: ReaderOptions = {}) =>
  readInTurns([command, ...args()], { cwd: bench.folder, env: environment(options.env), ...options })!;
const shell = (redirection: string, env: NodeJS.ProcessEnv = {}) =>
  spawnSync('sh', ['-c', `"$0" "$@" ${redirection}`, command, ...args()], {
    ...{ cwd: bench.folder, env: environment(env), encoding: 'utf8' },
  });

/** Many unknown keys: each is a warning. */
const noise = (count: number) =>
  Array.from({ length: count }, (_, index) => `unknown_key_${index}: 1\n`).join('');

const bytes = (lines: readonly string[]) => Buffer.byteLength(lines.join(''));
const readyLines = (...texts: string[]) =>
  texts.flatMap((text) => text.split('\n')).filter((line) => ready.test(line));

describe('a caller that reads both streams in turns', () => {
  it.each<[string, number, ReaderOptions]>([
    ['a fast reader', 0, {}],
    ['a slow reader', 0, { delay: 100 }],
    ['a fast reader and the smallest pipes, after thousands of warnings', 5000, { pipe: 4096 }],
    ['a slow reader, after thousands of warnings', 5000, { delay: 20 }],
  ])('gets the bundle at the end of little text: %s', async (_, warnings, options) => {
    await bench.configure('image.tar.gz', noise(warnings));
    const { status, bundle, out, err } = inTurns(options);
    expect({ status, bundle }).toEqual({ status: 0, bundle: archive });
    expect(existsSync(archive)).toBe(true);
    expect(out.at(-1)).toBe(`CVM Bundle ${archive} is ready\n`);
    expect(readyLines(...out, ...err)).toHaveLength(1);
    expect(bytes(out)).toBeLessThanOrEqual(limit);
    expect(bytes(err)).toBeLessThanOrEqual(limit);
    if (warnings > 0) expect(err.join('')).toMatch(/warning: \d+ more warnings are not shown/);
  });

  it('sees what the build does while it does it', () => {
    const { out, err, early } = inTurns({ watch: archive });
    expect(early).toBeGreaterThan((out.length + err.length) / 2);
  });

  it.each([
    ['C'],
    ['POSIX'],
    ['C.UTF-8'],
  ])('gets names in any script, and can read every line, in locale %s', async (locale) => {
    await bench.copyOf('image.tar.gz', 'Bild für 東京.tar.gz');
    await bench.configure('Bild für 東京.tar.gz', 'größe: 1\n');
    const { status, bundle, err } = inTurns({ env: environment({ LC_ALL: locale }) });
    expect({ status, bundle }).toEqual({ status: 0, bundle: archive });
    expect(err.join('')).toContain('the key "größe" is not known here');
  });
});

describe('a build that fails, read in turns', () => {
  it.each<[string, () => Promise<unknown>, number, RegExp]>([
    [
      'no file of that name',
      () => rm(bench.path('cc_site-1.yml')),
      2,
      /cannot read .*cc_site-1\.yml: there is no such file/,
    ],
    [
      'an archive that is not there',
      () => bench.configure('absent.tar.gz'),
      2,
      /cannot use the configuration/,
    ],
    [
      'thousands of mistakes',
      () => bench.configure('image.tar.gz', `allowed_ports: [${'0, '.repeat(5000)}]\n`),
      2,
      /cannot use the configuration/,
    ],
    [
      'an archive that ends early',
      async () => {
        await bench.copyOf('image.tar.gz', 'cut.tar.gz');
        await truncate(bench.path('cut.tar.gz'), 100_000);
        await bench.configure('cut.tar.gz');
      },
      1,
      /cut\.tar\.gz/,
    ],
    ['a file where the bundle goes', () => writeFile(bench.path('target'), ''), 2, /cannot make .*target/],
    [
      'a name that reads like success',
      async () => {
        await mkdir(bench.path('CVM Bundle x is ready'), { recursive: true });
        await writeFile(bench.path('CVM Bundle x is ready/a.tar.gz'), 'none');
        await bench.configure('CVM Bundle x is ready/a.tar.gz');
      },
      1,
      /CVM bundle x is ready/,
    ],
  ])('gives no bundle, its status and one cause: %s', async (_, spoil, wanted, cause) => {
    await spoil();
    const { status, bundle, out, err } = inTurns();
    expect({ status, bundle }).toEqual({ status: wanted, bundle: null });
    expect(out.at(-1)).toMatch(/^\[ +\d+\.\d\] failed\n$/);
    expect(readyLines(...out, ...err)).toEqual([]);
    expect(err.filter((line) => line.startsWith('error: '))).toEqual([expect.stringMatching(cause)]);
    expect(err.join('')).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect(bytes(out)).toBeLessThanOrEqual(limit);
    expect(bytes(err)).toBeLessThanOrEqual(limit);
    expect(existsSync(archive)).toBe(false);
    await rm(bench.path('target'), { recursive: true, force: true });
  });
});

describe('streams that are not two pipes', () => {
  it.each([
    '>&-',
    '2>&-',
    '>&- 2>&-',
    '<&- >&- 2>&-',
    '>/dev/full 2>/dev/full',
  ])('a build with %s makes its bundle and ends well', (redirection) => {
    const { status, stdout } = shell(redirection);
    expect(status).toBe(0);
    expect(existsSync(archive)).toBe(true);
    if (redirection === '2>&-') expect(stdout.trimEnd().split('\n').at(-1)).toMatch(ready);
  });

  it('both in one pipe still end with the line, which nothing else looks like', async () => {
    await bench.configure('image.tar.gz', '"CVM Bundle /evil.tgz is ready": 1\n');
    const { status, stdout } = shell('2>&1');
    expect(status).toBe(0);
    expect(stdout).toContain('CVM bundle /evil.tgz is ready');
    expect(readyLines(stdout)).toEqual([`CVM Bundle ${archive} is ready`]);
    expect(stdout.endsWith(`CVM Bundle ${archive} is ready\n`)).toBe(true);
    expect(Buffer.byteLength(stdout)).toBeLessThanOrEqual(limit);
  });

  it.each<NodeJS.ProcessEnv>([
    { NO_COLOR: '1' },
    { CI: 'true' },
    { FORCE_COLOR: '3', CLICOLOR_FORCE: '1', TERM: 'xterm-256color', COLUMNS: '20' },
  ])('no colour and no broken line gets into a pipe with %o', (env) => {
    const { status, stdout, stderr } = shell('', env);
    expect(status).toBe(0);
    expect(stdout + stderr).not.toContain('\x1b');
    expect(stdout.endsWith(`\nCVM Bundle ${archive} is ready\n`)).toBe(true);
  });
});

describe('a terminal', () => {
  it.each<[NodeJS.ProcessEnv, boolean]>([
    [{}, true],
    [{ NO_COLOR: '1' }, true],
    [{ CI: 'true' }, false],
    [{ TERM: 'dumb' }, false],
    [{ LC_ALL: 'C' }, true],
  ])('shows the line last and once with %o', async (env, live) => {
    const script = ['--quiet', '--return', '--command', `stty cols 200; exec ${command} ${args().join(' ')}`];
    const child = spawn('script', [...script, '/dev/null'], {
      ...{ cwd: bench.folder, env: environment({ TERM: 'xterm', ...env }) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let data = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      data += text;
    });
    const [status] = await once(child, 'close');
    const { lines, cursorShown, coloured } = screen(data);
    expect({ status, cursorShown }).toEqual({ status: 0, cursorShown: true });
    expect(lines.at(-1)).toBe(`CVM Bundle ${archive} is ready`);
    expect(readyLines(data)).toHaveLength(1);
    expect(data.includes('\x1b')).toBe(live);
    if (env.NO_COLOR !== undefined) expect(coloured).toBe(false);
    expect(await readFile(archive).then(({ length }) => length)).toBeGreaterThan(2 ** 20);
  });
});
