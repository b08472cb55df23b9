import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../src/build/builder-file.ts';
import { bundleFiles } from '../../src/bundle/index.ts';
import { built } from './built.ts';
import { type Boot, expectWorkloadEnded, showOnFailure, useFolder, type Vm } from './harness.ts';
import { type ProcessWatch, watchProcesses } from './process-watch.ts';
import { findIn, findInFile, formsOfKey } from './search.ts';

/** One copy of the bundle, which the tests below boot in turn, as a site does day after day. */
let vm: Vm;
let key: Buffer;
let first: Boot;
let watch: ProcessWatch;

beforeAll(async () => {
  key = await readFile(join(built().development.handoff, 'disk.key'));
  vm = await useFolder(async (work) => {
    const { archive, id } = built().development;
    await execa('tar', ['-zxvf', archive, '-C', work]);
    return join(work, 'site-1', `cvm_${id}`);
  });
});

afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
});

test('plain tar unpacks the ten files of the bundle and nothing else', async () => {
  expect((await readdir(vm.folder)).sort()).toEqual([...bundleFiles]);
  expect(bundleFiles).toHaveLength(10);
  for (const name of bundleFiles) {
    const found = await stat(vm.file(name));
    expect(found.isFile()).toBe(true);
    expect((found.mode & 0o111) !== 0).toBe(name === 'launch_vm.sh');
  }
});

test('it attests, unlocks its disk, makes the vault, runs the workload and powers off', async () => {
  watch = watchProcesses(250);
  using _ = watch;
  first = await vm.boot();
  expect(first.digest).toBe(vm.manifest.launch.digests.find(({ vcpus }) => vcpus === 2)?.hex);
  await expectWorkloadEnded(vm, first);
  expect(await vm.log('boot.log')).toContain('the vault is new: making it');
  expect(await vm.log('workload.log')).toContain('private key is present, mode 600');
  expect(first.requests).toMatchObject({ total: 3, released: 1, refused: 0 });
});

test('a second boot, by the command, finds the vault of the first', async () => {
  const before = (await vm.log('boot.log')) ?? '';
  const { all, exitCode } = await execa(join(projectRoot, 'bin/cvm'), ['boot', vm.folder], {
    env: { XDG_STATE_HOME: built().stateHome },
    all: true,
    reject: false,
  });
  showOnFailure('cvm boot', all.split('\n'));
  expect(all).toMatch(new RegExp(`^CVM ${vm.manifest.id} booted and ended well: `, 'm'));
  expect(exitCode).toBe(0);
  const after = (await vm.log('boot.log')) ?? '';
  expect(after.startsWith(before)).toBe(true);
  const second = after.slice(before.length);
  expect(second).not.toContain('the vault is new');
  expect(second).toMatch(/\] the vault has .* free$/m);
  expect(second).toMatch(/\] the workload ended well \(exit status 0\)\n$/);
  expect(await vm.log('workload.log')).toMatch(/quickstart: done\n(.*\n)*quickstart: done\n$/);
});

test('the disk key is in no file of the bundle, before and after the boots', async () => {
  expect(key.toString('ascii')).toMatch(/^[0-9a-f]{128}$/);
  const needles = formsOfKey(key);
  // The search finds what is there: the key in its own file, and the file's text in each form it looks for.
  expect(await findInFile(join(built().development.handoff, 'disk.key'), needles)).toContain('as it is');
  const { folder, archive } = built().development;
  const files = [archive, ...bundleFiles.flatMap((name) => [join(folder, name), vm.file(name)])];
  for (const file of files) expect([file, await findInFile(file, needles)]).toEqual([file, []]);
});

test('the disk key is in no log, and in no command line or environment of build and boot', async () => {
  const processes = { build: await readFile(built().processesOfBuild, 'latin1'), boot: watch.text() };
  // Both watches saw what they are for.
  expect(processes.build).toContain('cryptsetup\0reencrypt');
  expect(processes.boot).toContain(vm.file('crypt_root.qcow2'));
  const texts = {
    ...processes,
    console: first.console.join('\n'),
    'boot.log': (await vm.log('boot.log')) ?? '',
    'workload.log': (await vm.log('workload.log')) ?? '',
  };
  for (const [name, text] of Object.entries(texts)) {
    async function* once() {
      yield Buffer.from(text, 'latin1');
    }
    expect([name, await findIn(once(), formsOfKey(key))]).toEqual([name, []]);
  }
});
