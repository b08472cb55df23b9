import { chmod, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseCcConfig, resolvePath } from '../../../src/config/index.ts';
import { Checkout } from './checkout.ts';

let checkout: Checkout;
let folder: string;
beforeEach(async () => {
  checkout = await Checkout.make();
  await checkout.copy('examples/quickstart');
  folder = join(checkout.root, 'examples/quickstart');
});
afterEach(() => checkout[Symbol.asyncDispose]());

const prepare = (env: Record<string, string> = {}) => checkout.run(join(folder, 'prepare.sh'), [], env);
const made = () => readdir(join(folder, 'made')).then((names) => names.sort());
const keyOfKit = () => readFile(join(folder, 'made/site-1/startup/client.key'), 'utf8');
const whenArchiveWasMade = async () => (await stat(join(folder, 'made/quickstart.tar.gz'))).mtimeMs;

it('is set up by cvm_build.sh without a word, with every path of its configuration', async () => {
  const { status, stdout, stderr } = await checkout.build('--setup');
  expect(status).toBe(0);
  expect(stdout).toBe('Installing npm packages\nEverything is set up\n');
  expect(stderr).toBe(stdout);
  expect(await made()).toEqual(['quickstart.tar.gz', 'site-1']);
  const text = await readFile(join(folder, 'cc_site-1.yml'), 'utf8');
  const { config, errors, warnings } = parseCcConfig(text, 'cc_site-1.yml');
  expect([...errors, ...warnings]).toEqual([]);
  const present = await readdir(folder, { recursive: true });
  const context = {
    ...{ workingDirectory: checkout.folder, configDirectory: folder, home: checkout.folder },
    exists: (path: string) => present.some((name) => join(folder, name) === path),
  };
  expect(resolvePath(config!.dockerArchive, context)).toEqual({
    path: join(folder, 'made/quickstart.tar.gz'),
  });
  expect(resolvePath(config!.userConfig.nvflare!, context)).toEqual({ path: join(folder, 'made/site-1') });
});

it('is set up by test/run as well', async () => {
  await checkout.copy('test/run', 'test/report', 'test/peers/setup.sh', 'test/packages.txt');
  await checkout.run(join(checkout.root, 'test/run'), ['unit']);
  expect(await made()).toEqual(['quickstart.tar.gz', 'site-1']);
});

it('is not made to answer --help', async () => {
  await checkout.build('--help');
  await expect(made()).rejects.toThrow('ENOENT');
});

it('stays as it is when prepared again', async () => {
  await prepare();
  const before = [await keyOfKit(), await whenArchiveWasMade()];
  expect(await prepare()).toEqual({ status: 0, stdout: '', stderr: '' });
  expect([await keyOfKit(), await whenArchiveWasMade()]).toEqual(before);
});

it('makes the archive again when the workload has changed, and keeps the kit', async () => {
  await prepare();
  const [key, time] = [await keyOfKit(), await whenArchiveWasMade()];
  const later = Date.now() / 1000 + 1;
  await utimes(join(folder, 'workload.sh'), later, later);
  expect((await prepare()).status).toBe(0);
  expect(await whenArchiveWasMade()).toBeGreaterThan(time);
  expect(await keyOfKit()).toBe(key);
});

it('makes a piece that is missing, and removes what a killed run left', async () => {
  await prepare();
  const time = await whenArchiveWasMade();
  await rm(join(folder, 'made/site-1'), { recursive: true });
  await checkout.write('the builder/examples/quickstart/made/.new.abc/kit/startup/half', []);
  expect((await prepare()).status).toBe(0);
  expect(await made()).toEqual(['quickstart.tar.gz', 'site-1']);
  expect(await whenArchiveWasMade()).toBe(time);
});

it('is made once by several at the same time', async () => {
  const endings = await Promise.all([prepare(), prepare(), prepare()]);
  expect(endings.map(({ status }) => status)).toEqual([0, 0, 0]);
  expect(await made()).toEqual(['quickstart.tar.gz', 'site-1']);
  expect((await readdir(join(folder, 'made/site-1'))).sort()).toEqual(['local', 'startup']);
});

it('leaves nothing half made where it fails', async () => {
  const { status, stderr } = await prepare({ BUSYBOX: '/bin/ls' });
  expect(status).toBe(1);
  expect(stderr).toContain('not a static busybox');
  expect(await made()).toEqual([]);
});

it('does not keep other configurations from being built where it cannot be made', async () => {
  await checkout.build('--setup');
  await rm(join(folder, 'made'), { recursive: true });
  const env = { BUSYBOX: '/bin/ls' };
  const { status, stdout, stderr } = await checkout.run(join(checkout.root, 'cvm_build.sh'), ['x'], env);
  expect(status).toBe(0);
  expect(stderr).toMatch(/^warning: cannot prepare the quickstart: .*prepare\.sh.*\n$/);
  expect(stdout.split('\n')[0]).toBe(stderr.trimEnd());
  expect(stdout).toContain('"args":["build","x"]');
});

it('is left alone in a folder that cannot be written to', async () => {
  await checkout.build('--setup');
  await rm(join(folder, 'made'), { recursive: true });
  await chmod(folder, 0o555);
  const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const command = join(checkout.root, 'cvm_build.sh');
  const { status, stderr } =
    process.getuid?.() === 0
      ? await checkout.run('setpriv', [...asNobody, command, 'x'])
      : await checkout.build('x');
  await chmod(folder, 0o755);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  await expect(made()).rejects.toThrow('ENOENT');
});
