import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../build/bench.ts';
import { ProjectBench, type Row, rowsOf } from './bench.ts';

let project: ProjectBench;
let outcome: Outcome;
let rows: Row[];

beforeAll(async () => {
  project = await ProjectBench.make(20);
  outcome = await project.build();
  rows = [...rowsOf(outcome).values()];
});
afterAll(() => project?.[Symbol.asyncDispose]());

describe('a run of twenty sites', () => {
  it('builds all of them', async () => {
    expect(outcome.stderr).not.toContain('error:');
    expect(outcome.status).toBe(0);
    expect([...rowsOf(outcome).keys()]).toEqual(project.names);
    expect(rows.map(({ state }) => state)).toEqual(project.names.map(() => 'built'));
    expect((await project.bench.list('target')).filter((name) => name.endsWith('.tgz'))).toHaveLength(20);
  });

  it('says little on both streams before its table', () => {
    const [progress = ''] = outcome.stdout.split(/^SITE /m);
    expect(progress.length).toBeLessThan(16_384);
    expect(outcome.stderr.length).toBeLessThan(16_384);
  });

  it('gives each an id and a key of its own, which opens its root drive and not its neighbour’s', async () => {
    const ids = rows.map(({ id }) => id);
    expect(new Set(ids).size).toBe(20);
    const keys = await Promise.all(ids.map((id) => readFile(project.key(id), 'latin1')));
    expect(new Set(keys).size).toBe(20);
    for (const [index, id] of ids.entries()) {
      expect(project.opens(id, id), id).toBe(true);
      expect(project.opens(ids[(index + 1) % 20]!, id), id).toBe(false);
    }
  });
});
