import { execFile, execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { writeBuildRecord } from '../../../src/build/record/file.ts';
import type { BuildRecord } from '../../../src/build/record/schema.ts';
import { packBundle } from '../../../src/bundle/index.ts';
import { recordOf } from '../../unit/build/rebuild/record.ts';
import { makeSealedBundle, type SealedBundle } from './sealed-bundle.ts';

const cvm = join(import.meta.dirname, '../../../src/cli/main.ts');
let top: string;
let bundle: SealedBundle;
let key: string;

/** A squashfs of files by name; `null` is a whiteout. */
async function squashfs(
  name: string,
  files: Record<string, string | null>,
): Promise<{ name: string; content: Buffer }> {
  const folder = join(top, `${name}.d`);
  const lines: string[] = [];
  for (const [path, text] of Object.entries(files)) {
    let parent = '';
    for (const part of dirname(path).split('/')) {
      parent = parent === '' ? part : `${parent}/${part}`;
      if (!lines.includes(`dir ${parent} 0755 0 0`)) lines.push(`dir ${parent} 0755 0 0`);
    }
    await mkdir(join(folder, dirname(path)), { recursive: true });
    if (text !== null) await writeFile(join(folder, path), text);
    lines.push(text === null ? `nod ${path} 0000 0 0 c 0 0` : `file ${path} 0644 0 0`);
  }
  await writeFile(join(top, `${name}.list`), `${lines.join('\n')}\n`);
  const file = join(top, `${name}.squashfs`);
  execFileSync('gensquashfs', ['-q', '-D', folder, '-F', join(top, `${name}.list`), '-c', 'zstd', file]);
  return { name, content: await readFile(file) };
}

const dpkg = (...packages: [string, string][]) =>
  packages
    .map(
      ([name, version]) =>
        `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
    )
    .join('\n');

const config = {
  process: {
    args: ['/bin/train', '--fast', '\u001b]0;title\u0007'],
    env: ['A=1'],
    cwd: '/app',
    user: { uid: 1000, gid: 7 },
  },
};

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'inspect-test-'));
  const layers = [
    await squashfs('base', {
      'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\n',
      'var/lib/dpkg/status': dpkg(['systemd', '252-1'], ['crun', '1.8-1']),
    }),
    await squashfs('site', {
      'usr/lib/cvm/workload/config.json': JSON.stringify(config),
      'usr/lib/cvm/user_config.list': '',
      'usr/lib/cvm/user_config.sealed/nvflare/startup/client.key': 'key',
      'usr/lib/cvm/user_config.sealed/nvflare/startup/client_context.tenseal': 'context',
    }),
    await squashfs('layer0', {
      'etc/os-release': 'ID=alpine\nVERSION_ID=3.20\n',
      'lib/apk/db/installed': 'P:musl\nV:1\nA:x86_64\n\n',
      'var/lib/dpkg/status': dpkg(['hidden', '1']),
      'var/lib/rpm/rpmdb.sqlite': 'SQLite',
    }),
    await squashfs('layer1', {
      'lib/apk/db/installed': 'P:musl\nV:2\nA:x86_64\n\nP:zlib\nV:1.3\n\n',
      'var/lib/dpkg/status': null,
    }),
  ];
  bundle = await makeSealedBundle(top, { layers, kit: { 'b.json': '{}', 'a\u001b[2J.json': '{}' } });
  key = join(top, 'disk.key');
  await writeFile(key, bundle.key.reveal(), { mode: 0o600 });
}, 120_000);
afterAll(() => rm(top, { recursive: true }));

async function inspect(...args: string[]) {
  const env = { ...process.env, TMPDIR: top, XDG_CACHE_HOME: join(top, 'cache') };
  const all = [cvm, 'inspect', ...args, '--directory', top];
  return await promisify(execFile)(process.execPath, all, { env }).then(
    ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({
      status: code as number,
      stdout: stdout as string,
      stderr: stderr as string,
    }),
  );
}

test('without the key it shows what is not sealed, and says what is', async () => {
  const { status, stdout, stderr } = await inspect(bundle.folder);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^ports in +8002, 8003$/m);
  expect(stdout).toMatch(/^ports out +443$/m);
  expect(stdout).toMatch(/^key path +keys\/root\/885fe8f608b3 at https:\/\/kbs\.example\.com:8999$/m);
  expect(stdout).toMatch(/^user_data\.qcow2 +\S+ \S+ used of 16\.0 MiB, file/m);
  expect(stdout).toMatch(/^workload +sealed; --key shows it$/m);
  expect(stdout).toMatch(/^plain files +2: nvflare\/a\S+\.json, nvflare\/b\.json$/m);
  expect(stdout).toMatch(/^sealed files +--key shows them$/m);
  expect(stdout).toMatch(/^its packages +The packages of the image are not known: .*--key/m);
  expect(stdout).toContain(bundle.manifest.launch.digests[0]!.hex);
  expect(stdout.split('\n').length).toBeLessThan(40);
});

test('with the key it shows the workload and the packages as the layers show them', async () => {
  const { stdout } = await inspect(bundle.folder, '--key', key, '--json');
  const report = JSON.parse(stdout);
  expect(report.workload).toMatchObject({
    args: config.process.args,
    user: { uid: 1000, gid: 7 },
    cwd: '/app',
  });
  const names = (packages: { name: string; version: string }[]) =>
    packages.map(({ name, version }) => `${name} ${version}`);
  expect(report.basePackages).toMatchObject({
    from: 'sealed',
    distribution: { id: 'debian', version: '12' },
  });
  expect(names(report.basePackages.packages)).toEqual(['crun 1.8-1', 'systemd 252-1']);
  expect(names(report.imagePackages.packages)).toEqual(['musl 2', 'zlib 1.3']);
  expect(report.imagePackages.unread).toEqual(['/var/lib/rpm/rpmdb.sqlite']);
  expect(stdout).not.toContain(bundle.key.reveal().toString('latin1'));
});

test('with the key it lists what of user_config is plain and what is sealed', async () => {
  const sealed = ['nvflare/startup/client.key', 'nvflare/startup/client_context.tenseal'];
  const { stdout } = await inspect(bundle.folder, '--key', key);
  expect(stdout).toMatch(/^plain files +2: /m);
  expect(stdout).toContain(`sealed files       2: ${sealed.join(', ')}\n`);
  const known = JSON.parse((await inspect(bundle.folder, '--key', key, '--json')).stdout);
  expect(known.userConfig).toEqual({ plain: ['nvflare/a\u001b[2J.json', 'nvflare/b.json'], sealed });
  const unknown = JSON.parse((await inspect(bundle.folder, '--json')).stdout);
  expect(unknown.userConfig).toEqual({ plain: known.userConfig.plain });
});

test('an archive is shown as the folder is, and nothing that drives a terminal', async () => {
  const archive = join(top, 'site-1.tgz');
  await packBundle({ folder: bundle.folder, name: 'site-1', out: archive });
  const [one, other] = [await inspect(bundle.folder, '--key', key), await inspect(archive, '--key', key)];
  expect(other.stdout).toBe(one.stdout);
  expect(one.stdout).not.toMatch(/[^\P{Cc}\n]/u);
});

describe('the base without the key', () => {
  const id = 'b'.repeat(64);
  const handoff = () => join(top, 'handoff', `cvm_${bundle.manifest.id}`);
  const record = (changes: Partial<BuildRecord> = {}) =>
    writeBuildRecord(handoff(), {
      ...recordOf(),
      id: bundle.manifest.id,
      created: bundle.manifest.created,
      ...changes,
    });
  beforeEach(async () => {
    // The bundle where a build leaves it: target/ beside handoff/.
    await cp(bundle.folder, inTarget(), { recursive: true });
  });
  afterEach(async () => {
    for (const name of ['target', 'handoff', 'cache'])
      await rm(join(top, name), { recursive: true, force: true });
  });
  const inTarget = () => join(top, 'target', `cvm_${bundle.manifest.id}`);

  test('is that of the build record beside the bundle, with its packages where the cache has it', async () => {
    await record({ inputs: { ...recordOf().inputs, base: { id, origin: 'Debian 12 of a test' } } });
    expect((await inspect(inTarget())).stdout).toMatch(/^base +bbbbbbbbbbbb Debian 12 of a test$/m);
    expect((await inspect(inTarget())).stdout).toMatch(/^base packages +.* are not known/m);
    const entry = join(top, 'cache/cvm-builder/base', 'e'.repeat(64));
    await mkdir(entry, { recursive: true, mode: 0o700 });
    await chmod(join(top, 'cache/cvm-builder'), 0o700);
    await writeFile(join(entry, 'meta.json'), JSON.stringify({ id, origin: 'the cache' }));
    await writeFile(join(entry, 'packages.tsv'), 'crun\t1.8-1\nsystemd\t252-1\n');
    const { stdout } = await inspect(inTarget());
    expect(stdout).toMatch(/^base packages +2, by the build record; --key proves it$/m);
  });

  test.each([
    ['of another build of the same id', () => record({ created: '2001-01-01T00:00:00.000Z' })],
    ['that others may write to', () => record().then(() => chmod(join(handoff(), 'build.json'), 0o666))],
  ])('is not that of a record %s', async (_, write) => {
    await write();
    expect((await inspect(inTarget())).stdout).toMatch(/^base +not known$/m);
  });
});

test('leaves no plaintext behind', async () => {
  await inspect(bundle.folder, '--key', key);
  expect((await readdir(top)).filter((name) => name.startsWith('cvm-builder'))).toEqual([]);
});

test('the key of another image, or a damaged drive, is an error', async () => {
  const other = join(top, 'other.key');
  await writeFile(other, '0'.repeat(128));
  expect(await inspect(bundle.folder, '--key', other)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('another image'),
  });
  await writeFile(other, 'no key');
  const refused = await inspect(bundle.folder, '--key', other);
  expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('128 lower-case hex digits') });
});

describe('the bill of materials', () => {
  const bom = async (form: string, ...args: string[]) =>
    JSON.parse((await inspect(bundle.folder, '--sbom', form, ...args)).stdout);

  test('in SPDX names each package once, with its part of the bundle, and is the same each time', async () => {
    const document = await bom('spdx', '--key', key);
    expect(document).toEqual(await bom('spdx', '--key', key));
    const urls = document.packages.flatMap((one: { externalRefs?: { referenceLocator: string }[] }) =>
      (one.externalRefs ?? []).map((reference) => reference.referenceLocator),
    );
    expect(urls).toEqual([
      'pkg:deb/debian/crun@1.8-1?arch=amd64&distro=debian-12',
      'pkg:deb/debian/systemd@252-1?arch=amd64&distro=debian-12',
      'pkg:apk/alpine/musl@2?arch=x86_64&distro=alpine-3.20',
      'pkg:apk/alpine/zlib@1.3?distro=alpine-3.20',
    ]);
    const ids = document.packages.map((one: { SPDXID: string }) => one.SPDXID);
    expect(new Set(ids).size).toBe(ids.length);
    const contained = document.relationships.map(
      (one: { relatedSpdxElement: string }) => one.relatedSpdxElement,
    );
    expect(contained.sort()).toEqual(ids.sort());
  });

  test('in CycloneDX says what it does not know', async () => {
    const document = await bom('cyclonedx');
    expect(document).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6' });
    expect(document.compositions).toEqual([
      { aggregate: 'unknown', assemblies: ['base'] },
      { aggregate: 'unknown', assemblies: ['image'] },
    ]);
    expect(document.components[1].description).toContain('--key');
  });

  test('in another form is refused', async () => {
    expect(await inspect(bundle.folder, '--sbom', 'swid')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('spdx or cyclonedx'),
    });
  });
});
