import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readStartupKit, treeDigest } from '../../../src/drives/index.ts';

let folder: string;
const digest = () => treeDigest({ nvflare: join(folder, 'kit') });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tree-digest-test-'));
  await mkdir(join(folder, 'kit/startup'), { recursive: true });
  await writeFile(join(folder, 'kit/startup/fed_client.json'), '{}');
  await writeFile(join(folder, 'kit/startup/client.key'), '-----BEGIN PRIVATE KEY-----\n');
});
afterEach(() => rm(folder, { recursive: true }));

test('a kit and what was staged of it, in two parts, have one digest', async () => {
  await mkdir(join(folder, 'work'));
  const kit = await readStartupKit({
    folders: { nvflare: join(folder, 'kit') },
    workDirectory: join(folder, 'work'),
  });
  expect(kit.plainFiles).toEqual(['nvflare/startup/fed_client.json']);
  expect(kit.sealedFiles).toEqual(['nvflare/startup/client.key']);
  expect(kit.digest).toBe(await digest());
});

test.each<[string, () => Promise<unknown>]>([
  ['a changed file', () => writeFile(join(folder, 'kit/startup/fed_client.json'), '[]')],
  ['a changed private key', () => writeFile(join(folder, 'kit/startup/client.key'), 'another')],
  ['an added file', () => writeFile(join(folder, 'kit/more'), '')],
  ['an added folder', () => mkdir(join(folder, 'kit/more'))],
  ['other permission bits', () => chmod(join(folder, 'kit/startup/fed_client.json'), 0o600)],
  ['a removed file', () => rm(join(folder, 'kit/startup/client.key'))],
])('%s makes another digest', async (_, change) => {
  await chmod(join(folder, 'kit/startup/fed_client.json'), 0o644);
  const before = await digest();
  await change();
  expect(await digest()).not.toBe(before);
});

test('a link in a kit is refused, not followed', async () => {
  await symlink('/etc/passwd', join(folder, 'kit/link'));
  await expect(digest()).rejects.toThrow('it is a symbolic link');
});
