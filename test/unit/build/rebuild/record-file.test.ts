import { chmod, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readBuildRecord, writeBuildRecord } from '../../../../src/build/record/file.ts';
import { recordOf } from './record.ts';

let folder: string;
const file = () => join(folder, 'cvm/build.json');
const handoff = () => join(folder, 'cvm');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-record-test-'));
  await writeBuildRecord(handoff(), recordOf());
});
afterEach(() => rm(folder, { recursive: true }));

test('a record comes back as it was written, from a folder and a file of its owner alone', async () => {
  expect(await readBuildRecord(handoff())).toEqual(recordOf());
  expect((await stat(handoff())).mode & 0o777).toBe(0o700);
  expect((await stat(file())).mode & 0o777).toBe(0o600);
});

test('a folder without a record, and no folder, have none', async () => {
  await rm(file());
  expect(await readBuildRecord(handoff())).toBeUndefined();
  expect(await readBuildRecord(join(folder, 'absent'))).toBeUndefined();
});

test('a record that others may write to is refused', async () => {
  await chmod(file(), 0o620);
  await expect(readBuildRecord(handoff())).rejects.toThrow('other accounts may write to it');
});

test('a link in place of a record is refused', async () => {
  await writeFile(join(folder, 'elsewhere'), JSON.stringify(recordOf()), { mode: 0o600 });
  await rm(file());
  await symlink('../elsewhere', file());
  await expect(readBuildRecord(handoff())).rejects.toThrow('it is a symbolic link');
});

test.each<[string, unknown, string]>([
  ['a later form', { version: 2 }, 'use the builder that wrote it'],
  ['a relative path', recordOf({ cc_config: { path: 'cc.yml', text: '' } }), 'cc_config.path'],
  ['an unknown field', { ...recordOf(), key: 'x' }, 'build record'],
  ['an id that climbs', { ...recordOf(), id: '../../../../etc' }, 'id: must be 12'],
])('%s is refused', async (_, value, said) => {
  await writeFile(file(), JSON.stringify(value), { mode: 0o600 });
  const error = await readBuildRecord(handoff()).catch((thrown) => thrown);
  expect(`${error.message} ${error.hint}`).toContain(said);
});

test('what is no record is never written', async () => {
  await expect(writeBuildRecord(handoff(), { ...recordOf(), id: 'x' })).rejects.toThrow();
  expect(await readBuildRecord(handoff())).toEqual(recordOf());
});
