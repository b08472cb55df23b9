import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Registry } from '../../../src/kbs/index.ts';
import { ended, type Outcome } from '../build/bench.ts';
import { ProjectBench, rowsOf } from './bench.ts';

let project: ProjectBench;
beforeAll(async () => {
  project = await ProjectBench.make(3);
});
afterAll(() => project?.[Symbol.asyncDispose]());
afterEach(() => project.clear());

const states = (outcome: Outcome) => [...rowsOf(outcome).values()].map(({ state }) => state);
const bundles = async () => (await project.bench.list('target')).filter((name) => name.startsWith('cvm_'));
const activeIds = async () =>
  (JSON.parse(await readFile(project.bench.registry, 'utf8')) as Registry).images
    .filter(({ status }) => status === 'active')
    .map(({ id }) => id)
    .sort();

/** Starts a run, and sends it the signal as soon as so many sites have their plain drives but not all a bundle. */
async function interrupted(signal: NodeJS.Signals, jobs: number, sites: number) {
  const run = project.bench.start(project.arguments(['--jobs', String(jobs)]));
  const outcome = ended(run);
  const begun = async () => {
    const found = await bundles();
    return found.filter((name) => existsSync(project.bench.path(`target/${name}/user_data.qcow2`))).length;
  };
  while (run.exitCode === null && (await begun()) < sites) await pause(5);
  run.kill(signal);
  return { ...(await outcome), pid: run.pid! };
}

async function expectNoWorkLeft(pid: number): Promise<void> {
  const left = [...(await readdir('/dev/shm')), ...(await readdir('/tmp'))];
  const ours = left.filter((name) => name.startsWith('cvm-builder-') && name.includes(`-${pid}-`));
  expect(ours).toEqual([]);
  expect(await project.bench.list('cache/cvm-builder/.drafts')).toEqual([]);
}

describe('a run that is interrupted', () => {
  it('keeps what is complete, leaves nothing of the rest, and goes on from there', async () => {
    const outcome = await interrupted('SIGINT', 1, 2);
    expect(outcome.status).toBe(130);
    expect(states(outcome)).toEqual(['built', 'stopped', 'stopped']);
    expect(outcome.stderr.match(/^error: .*$/gm)).toEqual(['error: interrupted']);
    const { id } = rowsOf(outcome).get('site-1')!;
    expect(await project.bench.list('target')).toEqual([`cvm_${id}`, 'site-1.tgz']);
    expect(await project.bench.list('handoff')).toEqual([`cvm_${id}`]);
    expect(await activeIds()).toEqual([id]);
    await expectNoWorkLeft(outcome.pid);

    // What was complete before stays so, also in the table of a run that is interrupted again.
    const again = await interrupted('SIGINT', 1, 2);
    expect(again.status).toBe(130);
    expect(states(again)).toEqual(['complete', 'stopped', 'stopped']);

    const last = await project.build();
    expect(last.status).toBe(0);
    expect(states(last)).toEqual(['complete', 'built', 'built']);
    expect(rowsOf(last).get('site-1')!.id).toBe(id);
    expect(await activeIds()).toEqual([...rowsOf(last).values()].map((row) => row.id).sort());
  });

  it('leaves nothing at all where none was complete, of those that ran side by side', async () => {
    const outcome = await interrupted('SIGTERM', 2, 2);
    expect(outcome.status).toBe(143);
    expect(states(outcome)).toEqual(['stopped', 'stopped', 'stopped']);
    expect(await project.bench.list('target')).toEqual([]);
    expect(await project.bench.list('handoff')).toEqual([]);
    await expectNoWorkLeft(outcome.pid);
  });

  it('goes on as well where it was killed outright', async () => {
    await interrupted('SIGKILL', 1, 2);
    const second = await project.build();
    expect(second.status).toBe(0);
    expect(states(second)).toEqual(['complete', 'built', 'built']);
    expect(await activeIds()).toEqual([...rowsOf(second).values()].map((row) => row.id).sort());
  });
});
