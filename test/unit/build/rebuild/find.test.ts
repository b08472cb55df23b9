import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findBuildRecord } from '../../../../src/build/rebuild/find.ts';
import { writeBuildRecord } from '../../../../src/build/record/file.ts';
import { id, makeBundle } from '../../bundle/fixture.ts';
import { recordOf } from './record.ts';

let top: string;
const path = (name: string) => join(top, name);
const record = (name: string) => ({ ...recordOf(), id, name });

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'find-record-test-'));
  await makeBundle(path('from-host/target'));
  await writeBuildRecord(path(`from-host/handoff/cvm_${id}`), record('planted'));
});
afterEach(() => rm(top, { recursive: true }));

const bundle = () => path(`from-host/target/cvm_${id}`);

test('a record that came with a bundle is not built from, unless the administrator names it', async () => {
  const places = { handoff: undefined, output: path('own') };
  await expect(findBuildRecord(bundle(), places)).rejects.toThrow('whoever gave you the bundle');
  await expect(findBuildRecord(id, places)).rejects.toThrow('there is no');
  const named = await findBuildRecord(bundle(), { ...places, handoff: path('from-host/handoff') });
  expect(named.record.name).toBe('planted');
});

test("the administrator's own record counts before one that lies beside a bundle", async () => {
  await writeBuildRecord(path(`own/handoff/cvm_${id}`), record('own'));
  const found = await findBuildRecord(bundle(), { handoff: undefined, output: path('own') });
  expect(found.record.name).toBe('own');
  expect(found.handoffFolder).toBe(path('own/handoff'));
});

test('the record beside a bundle of the output folder is found by the bundle', async () => {
  const found = await findBuildRecord(bundle(), { handoff: undefined, output: path('from-host') });
  expect(found.handoffFolder).toBe(path('from-host/handoff'));
});
