import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readInTurns } from './programs/read-in-turns.ts';

const program = (name: string) => fileURLToPath(new URL(`programs/${name}`, import.meta.url));
const node = process.execPath;
const build = program('build.ts');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('under a caller that reads both streams in turns', () => {
  it('a program that fills one stream hangs (so these tests can tell)', () => {
    const chatty = "console.log('x'.repeat(99)); ".repeat(3000);
    expect(readInTurns([node, '-e', chatty], { timeout: 3000 })).toBeUndefined();
  });

  it.each([
    ['a fast reader', { delay: 0 }],
    ['a slow reader', { delay: 40 }],
    ['the smallest pipes', { pipe: 4096 }],
  ])('a build that says far too much ends, with %s', (_, reader) => {
    const result = readInTurns([node, build, 'noisy'], reader);
    expect(result).toMatchObject({ status: 0, bundle: '/srv/target/site-1.tgz' });
    expect(result!.out.at(-1)).toBe('CVM Bundle /srv/target/site-1.tgz is ready\n');
    for (const stream of [result!.out, result!.err]) {
      expect(Buffer.byteLength(stream.join(''))).toBeLessThanOrEqual(16 * 1024);
    }
    expect(result!.err.join('')).toMatch(/\d+ more warnings are not shown/);
  });

  it('steps are seen while the build runs', () => {
    // The build goes on only when the reader has seen the first line of standard error.
    const touch = join(folder, 'seen');
    const result = readInTurns([node, build, 'wait', touch], { touch, timeout: 20_000 });
    expect(result).toMatchObject({ status: 0, bundle: '/srv/target/site-1.tgz' });
    expect(result!.out).toHaveLength(result!.err.length);
  });

  it('a failure gives its status and error, and no bundle', () => {
    const result = readInTurns([node, build, 'fail']);
    expect(result).toMatchObject({ status: 1, bundle: null });
    expect(result!.err.slice(-2)).toEqual([
      'error: cannot seal the root drive: no space\n',
      'hint: free 2 GiB\n',
    ]);
    expect(result!.out.at(-1)).toMatch(/failed\n$/);
  });

  it('a bug gives its stack', () => {
    const result = readInTurns([node, build, 'bug']);
    expect(result).toMatchObject({ status: 1, bundle: null });
    expect(result!.err.join('')).toMatch(
      /error: TypeError: x is not a function\nhint: .*\n {4}at .*build\.ts/,
    );
  });
});

describe('where nobody reads', () => {
  it.each([
    '>&-',
    '2>&-',
    '>&- 2>&-',
    '>/dev/full',
    '>/dev/full 2>/dev/full',
  ])('a build with %s ends well', (redirection) => {
    const { status } = spawnSync('sh', ['-c', `"$0" "$1" noisy ${redirection}`, node, build], {
      stdio: 'pipe',
    });
    expect(status).toBe(0);
  });

  it.each([
    ['stdout', 'stderr'],
    ['stderr', 'stdout'],
  ] as const)('a build goes on when the reader of %s leaves in the middle', async (leaving, staying) => {
    const seen = join(folder, 'seen');
    const child = spawn(node, [build, 'wait', seen], { stdio: ['ignore', 'pipe', 'pipe'] });
    let kept = '';
    child[staying].on('data', (data) => {
      kept += data;
    });
    await once(child[leaving], 'data');
    child[leaving].destroy();
    spawnSync('touch', [seen]);
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(kept).toContain('Bundle: done');
  });
});

it('plain runs do not load listr2', async () => {
  const log = join(folder, 'loaded');
  const hook = `
    import { appendFileSync } from 'node:fs';
    import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) { appendFileSync('${log}', url + '\\n'); return next(url, context); } });`;
  const preload = `data:text/javascript,${encodeURIComponent(hook)}`;
  expect(spawnSync(node, ['--import', preload, build, 'ok']).status).toBe(0);
  const loaded = await readFile(log, 'utf8');
  expect(loaded).toContain('src/report/plain.ts');
  expect(loaded).not.toContain('listr2');
});
