import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newDiskKey, Secret } from '../../../src/host/secret.ts';
import { writeHandoff } from '../../../src/kbs/handoff.ts';
import { digestOf, imageOf } from './records.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handoff-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test('the folder is private, and so is each file', async () => {
  const directory = join(folder, 'deep', 'handoff');
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await writeHandoff(directory, { record: imageOf(1), key: newDiskKey() });
  expect(await modeOf(directory)).toBe(0o700);
  const names = (await readdir(directory)).sort();
  expect(names).toEqual([
    'README.txt',
    'disk.key',
    'policy-entry.rego',
    'record.json',
    'reference-values.json',
  ]);
  for (const name of names) expect(await modeOf(join(directory, name))).toBe(0o600);
});

test('the key file holds the 128 digits and no newline, and no other file holds the key', async () => {
  const key = newDiskKey();
  const { keyFile } = await writeHandoff(folder, { record: imageOf(1), key });
  const digits = key.reveal().toString('ascii');
  expect(await readFile(keyFile, 'utf8')).toBe(digits);
  for (const name of await readdir(folder)) {
    if (name === 'disk.key') continue;
    expect(await readFile(join(folder, name), 'utf8')).not.toContain(digits.slice(0, 32));
  }
});

test('a key that is not 128 hex digits is never written', async () => {
  for (const text of ['', 'a'.repeat(127), `${'a'.repeat(128)}\n`, 'g'.repeat(128)]) {
    const key = new Secret(Buffer.from(text));
    await expect(writeHandoff(join(folder, 'x'), { record: imageOf(1), key })).rejects.toThrow('128');
  }
  expect(await readdir(folder)).toEqual([]);
});

test('reference values hold both encodings under the name that attestation policies read', async () => {
  await writeHandoff(folder, { record: imageOf(1), key: newDiskKey() });
  const values = JSON.parse(await readFile(join(folder, 'reference-values.json'), 'utf8'));
  const hex = digestOf('image 1');
  const base64 = Buffer.from(hex, 'hex').toString('base64');
  expect(values.snp_launch_measurement.toSorted()).toEqual([hex, base64].sort());
  expect(values.launch_digests).toEqual([expect.objectContaining({ vcpus: 2, cpu: 'EPYC-v4', hex, base64 })]);
});

test('the README names the resource path and the image', async () => {
  await writeHandoff(folder, { record: imageOf(1), key: newDiskKey() });
  const readme = await readFile(join(folder, 'README.txt'), 'utf8');
  expect(readme).toContain('keys/root/000000000001');
  expect(readme).not.toMatch(/@[A-Z_]+@/);
});
