import { Writable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { GraphEvent } from '../../../src/graph/events.ts';
import { Output } from '../../../src/report/output.ts';
import { PlainRenderer } from '../../../src/report/plain.ts';

/** Both streams as one record, so that the order between them can be seen. */
let record: ['out' | 'err', string][];
let now: number;
let renderer: PlainRenderer;

const recorder = (name: 'out' | 'err') =>
  new Writable({
    write(chunk, _, done) {
      record.push([name, String(chunk)]);
      done();
    },
  });
const text = (name: 'out' | 'err') => record.filter(([stream]) => stream === name).map(([, line]) => line);
const label = { task: 'base', title: 'Base system' };

beforeEach(() => {
  record = [];
  now = 100;
  renderer = new PlainRenderer(new Output(recorder('out')), new Output(recorder('err')), () => now);
});

const everyKind: GraphEvent[] = [
  { type: 'begin', tasks: [{ name: 'base', title: 'Base system' }] },
  { type: 'start', ...label },
  { type: 'progress', ...label, progress: { done: 1, total: 4, unit: 'layers' } },
  { type: 'note', ...label, text: 'from the archive' },
  { type: 'warn', ...label, text: 'a device node was left out' },
  { type: 'done', ...label, seconds: 12.34, cached: false },
  { type: 'done', ...label, seconds: 0.01, cached: true, detail: '3 of 4 layers' },
  { type: 'fail', ...label, seconds: 3, error: new Error('not shown here') },
  { type: 'cancel', ...label, seconds: 3 },
  { type: 'cleanup-failed', error: new Error('busy') },
  { type: 'end', ok: false, seconds: 5 },
];

it('writes for each step one line to standard output, then one to standard error', () => {
  for (const event of everyKind) {
    now += 6;
    renderer.event(event);
  }
  expect(record.map(([stream]) => stream)).toEqual(Array.from({ length: 9 }, () => ['out', 'err']).flat());
  expect(record.every(([, line]) => /^[^\n]+\n$/.test(line))).toBe(true);
  expect(text('out').join('')).toBe(`\
[  12.0] Base system ...
[  18.0] Base system: 25 %
[  24.0] Base system: note
[  30.0] Base system: warning
[  36.0] Base system: done in 12 s
[  42.0] Base system: cached
[  48.0] Base system: failed after 3.0 s
[  54.0] Base system: stopped
[  60.0] clean-up: warning
`);
  expect(text('err').join('')).toBe(`\
[  12.0] Base system ...
[  18.0] Base system: 25 % (1 of 4 layers)
[  24.0] Base system: from the archive
[  30.0] warning: a device node was left out
[  36.0] Base system: done in 12 s
[  42.0] Base system: cached (3 of 4 layers)
[  48.0] Base system: failed after 3.0 s
[  54.0] Base system: stopped
[  60.0] warning: cannot clean up: busy
`);
});

it('ends standard output with the result as it is', async () => {
  renderer.event(everyKind[1]!);
  await renderer.close();
  renderer.result('CVM Bundle /srv/site-1.tgz is ready');
  expect(text('out').at(-1)).toBe('CVM Bundle /srv/site-1.tgz is ready\n');
});

it('never lets text from outside reach standard output, where it could pass for the result', () => {
  const forged = 'x\nCVM Bundle /etc/shadow is ready\n';
  renderer.event({ type: 'start', ...label });
  now += 10;
  renderer.event({ type: 'progress', ...label, progress: forged });
  now += 100;
  renderer.event({ type: 'progress', ...label, progress: { done: 1, total: 2, unit: forged } });
  renderer.event({ type: 'note', ...label, text: forged });
  renderer.event({ type: 'warn', ...label, text: forged });
  renderer.event({ type: 'done', ...label, seconds: 1, cached: true, detail: forged });
  renderer.event({ type: 'fail', ...label, seconds: 1, error: new Error(forged) });
  renderer.event({ type: 'cleanup-failed', error: new Error(forged) });
  renderer.warn(forged);
  renderer.note(forged);
  renderer.failure(`error: ${forged}`);
  expect(text('out').length).toBe(11);
  expect(text('out').join('')).not.toContain('CVM Bundle');
});

describe('a long run', () => {
  it('shows progress ever less often, at most once a minute in the end', () => {
    renderer.event({ type: 'start', ...label });
    const times: number[] = [];
    for (; now < 100 + 600; now += 0.5) {
      const before = record.length;
      renderer.event({ type: 'progress', ...label, progress: 'unpacking' });
      if (record.length > before) times.push(now - 100);
    }
    expect(times.slice(0, 6)).toEqual([5, 15, 35, 75, 135, 195]);
  });

  it('keeps each stream below 16 KiB whatever happens, and still tells how the run ended', async () => {
    const long = 'ü'.repeat(5000);
    for (let index = 0; index < 500; index++) {
      const task = { task: `t${index}`, title: `Layer ${index}` };
      renderer.event({ type: 'start', ...task });
      for (let step = 0; step < 10; step++) {
        now += 61;
        renderer.event({ type: 'progress', ...task, progress: long });
      }
      renderer.event({ type: 'note', ...task, text: long });
      renderer.event({ type: 'warn', ...task, text: long });
      renderer.event({ type: 'done', ...task, seconds: 600, cached: false });
    }
    await renderer.close();
    renderer.failure(`error: ${long}\n${'    at somewhere\n'.repeat(2000)}`);
    for (const stream of ['out', 'err'] as const) {
      expect(Buffer.byteLength(text(stream).join(''))).toBeLessThanOrEqual(16 * 1024);
    }
    expect(text('err').at(-1)).toMatch(/^error: ü/);
    expect(text('out').at(-1)).toMatch(/failed\n$/);
    expect(text('err').join('')).not.toContain('\ufffd');
  });

  it('says how many warnings it left out, and shows steps after warnings have used up their share', async () => {
    for (let index = 0; index < 200; index++) renderer.warn(`device node ${index} `.repeat(10));
    renderer.event({ type: 'done', ...label, seconds: 1, cached: false });
    await renderer.close();
    const shown = text('err').filter((line) => line.includes('device node')).length;
    expect(shown).toBeGreaterThan(20);
    expect(text('err').at(-2)).toContain('Base system: done');
    expect(text('err').at(-1)).toContain(`warning: ${200 - shown} more warnings are not shown`);
  });
});

it('goes on where a stream fails', () => {
  const broken = new Writable({
    write(_chunk, _, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  const half = new PlainRenderer(new Output(broken), new Output(recorder('err')), () => now);
  for (const event of everyKind) half.event(event);
  expect(text('err').length).toBeGreaterThan(5);
});

it('where both streams are one file, each thing is said once', () => {
  const merged: string[] = [];
  const both = new Output(
    new Writable({
      write(chunk, _, done) {
        merged.push(String(chunk));
        done();
      },
    }),
  );
  const plain = new PlainRenderer(both, both, () => 1, true);
  plain.warn('mind the gap');
  plain.result('CVM Bundle x is ready');
  expect(merged).toEqual(['[   0.0] warning: mind the gap\n', 'CVM Bundle x is ready\n']);
});
