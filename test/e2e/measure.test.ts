import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../src/build/builder-file.ts';
import { readManifest } from '../../src/bundle/index.ts';
import { built } from './built.ts';
import { flipByte } from './drives.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'measure-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

const cvm = (...args: string[]) =>
  execa(join(projectRoot, 'bin/cvm'), args, { reject: false, extendEnv: true });

test.each([
  'development',
  'production',
] as const)('cvm measure comes to the digests that the manifest of the %s bundle promises, from folder and archive alike', async (kind) => {
  const { folder, archive } = built()[kind];
  const { launch } = await readManifest(folder);
  const fromFolder = await cvm('measure', folder, '--json');
  expect(fromFolder).toMatchObject({ exitCode: 0, stderr: '' });
  const { digests } = JSON.parse(fromFolder.stdout);
  expect(digests.map(({ mode, vmm, ...digest }: { mode: string; vmm: string }) => digest)).toEqual(
    launch.digests,
  );
  expect(JSON.parse((await cvm('measure', archive, '--json')).stdout).digests).toEqual(digests);
});

test.each([
  'OVMF.amdsev.fd',
  'vmlinuz',
  'initrd.img',
])('cvm measure says so where one byte of %s was changed', async (name) => {
  const { folder } = built().development;
  const copy = join(work, name, basename(folder));
  await cp(folder, copy, { recursive: true });
  await flipByte(join(copy, name), 1_000_000);
  const { exitCode, stderr } = await cvm('measure', copy);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('error: the bundle does not measure to the digests of its manifest.json');
});
