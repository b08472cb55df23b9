import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { bundleFiles, readManifest } from '../../../src/bundle/index.ts';
import { listFiles } from '../../../src/drives/index.ts';
import { readInTurns } from '../report/programs/read-in-turns.ts';
import { BuildBench, nobody } from './bench.ts';

// Builds as FLARE starts them: a copy of the configuration in /tmp, the project's folder as the working directory.
const command = join(projectRoot, 'cvm_build.sh');
const root = process.getuid?.() === 0;
const hasSudo = root && spawnSync('sudo', ['-n', 'true']).status === 0;

let bench: BuildBench;
let project: string;
let copy: string;
let copies: string;
beforeAll(async () => {
  bench = await BuildBench.make();
  copies = mkdtempSync(join(tmpdir(), 'tmp'));
  copy = join(copies, 'tmpk3_x9f2a.yaml');
});
afterAll(async () => {
  rmSync(copies, { recursive: true, force: true });
  await bench?.[Symbol.asyncDispose]();
});

/** A project folder with this name, a kit where FLARE keeps kits, and the workload in docker/. */
async function makeProject(
  name: string,
  dockerArchive = 'docker/site.tar.gz',
  archiveName = 'docker/site.tar.gz',
) {
  project = bench.path(name);
  const kit = join(project, 'workspace/example_project/prod_00/site-1');
  await mkdir(dirname(kit), { recursive: true });
  await mkdir(dirname(join(project, archiveName)), { recursive: true });
  await cp(bench.path('site-1'), kit, { recursive: true });
  await cp(bench.path('image.tar.gz'), join(project, archiveName));
  const text = await readFile(bench.path('cc_site-1.yml'), 'utf8');
  const edited = text
    .replace(/docker_archive: .*/, `docker_archive: ${JSON.stringify(dockerArchive)}`)
    .replace(/nvflare: .*/, `nvflare: ${JSON.stringify(kit)}`);
  await writeFile(copy, edited);
}
afterEach(() => rm(project, { recursive: true, force: true }));

const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...{ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: bench.folder },
  ...{ XDG_CACHE_HOME: bench.path('cache'), XDG_STATE_HOME: bench.path('state') },
  ...more,
});

const args = () => ['--dev', '--config', bench.path('builder.yml'), copy];
const build = (env: NodeJS.ProcessEnv = environment(), wrapped: readonly string[] = []) =>
  readInTurns([...wrapped, command, ...args()], { cwd: project, env })!;

/** The bundle is where FLARE is told it is, and its kit is that of site-1. */
async function expectBuilt({ status, bundle, err }: ReturnType<typeof build>): Promise<string> {
  expect(err.filter((line) => line.startsWith('error: '))).toEqual([]);
  expect(status).toBe(0);
  expect(bundle).not.toBeNull();
  expect(existsSync(bundle!)).toBe(true);
  expect(realpathSync(bundle!)).toBe(join(realpathSync(project), 'target/site-1.tgz'));
  const [folder = ''] = readdirSync(join(project, 'target')).filter((name) => name.startsWith('cvm_'));
  const manifest = await readManifest(join(project, 'target', folder));
  expect(manifest).toMatchObject({ name: 'site-1', kind: 'development' });
  return join(project, 'target', folder);
}

describe('the workload is found', () => {
  it.each([
    ['relative to the working directory', 'docker/site.tar.gz'],
    ['below ~', '~/project/docker/site.tar.gz'],
  ])('%s', async (_, written) => {
    await makeProject('project', written);
    const result = build();
    await expectBuilt(result);
    // A path without blanks is printed as it is.
    expect(result.bundle).toBe(join(project, 'target/site-1.tgz'));
  });

  it.each<[string, NodeJS.ProcessEnv]>([
    ['unset', { HOME: undefined }],
    ['empty', { HOME: '' }],
    ['no absolute path', { HOME: 'home' }],
  ])('where HOME is %s, and ~ is the account’s own', async (_, env) => {
    await makeProject('project');
    await expectBuilt(build(environment(env)));
    expect(readdirSync(project).sort()).toEqual(['docker', 'handoff', 'target', 'workspace']);
    await writeFile(
      copy,
      (await readFile(copy, 'utf8')).replace(/docker_archive: .*/, 'docker_archive: ~/no-such.tar'),
    );
    const account = userInfo().homedir;
    expect(build(environment(env)).err.join('')).toContain(`there is no ${join(account, 'no-such.tar')}`);
  });
});

describe('blanks and letters of any script', () => {
  const names = ['Mein Projekt für 東京', 'no\u00a0break', 'it\'s $(touch x) `y` "z"'];

  it.each(names)('in every path, as in %j, lead to a bundle whose printed path holds none', async (name) => {
    await makeProject(name, 'docker bilder/näher dran.tar.gz', 'docker bilder/näher dran.tar.gz');
    const data = bench.path('data');
    const env = environment({ XDG_DATA_HOME: data, XDG_STATE_HOME: join(project, 'st ate') });
    const result = build(env);
    await expectBuilt(result);
    expect(result.bundle!.startsWith(`${data}/cvm-builder/output/`)).toBe(true);
    expect(result.bundle).toMatch(/^[\x21-\x7e]+$/);
    expect(result.err.join('')).toContain('because FLARE reads a path up to its first blank');
    expect(lstatSync(join(data, 'cvm-builder/output')).mode & 0o777).toBe(0o700);
    // The next build of the same project is found at the same path.
    expect(build(env).bundle).toBe(result.bundle);
    expect(readdirSync(join(data, 'cvm-builder/output'))).toHaveLength(1);
    await rm(data, { recursive: true });
  });

  it('in the home folder as well lead to a path below /var/tmp', async () => {
    await makeProject('a project');
    const result = build(environment({ HOME: project }));
    await expectBuilt(result);
    const folder = `/var/tmp/cvm-builder-${process.getuid?.()}`;
    expect(dirname(dirname(dirname(result.bundle!)))).toBe(folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    rmSync(dirname(dirname(result.bundle!)));
  });

  it.runIf(root)('and no folder for a link that is one’s own: nothing is begun', async () => {
    await makeProject('a project');
    const data = bench.path('data');
    await mkdir(join(data, 'cvm-builder/output'), { recursive: true });
    chownSync(join(data, 'cvm-builder/output'), nobody.uid, nobody.gid);
    const folder = `/var/tmp/cvm-builder-${process.getuid?.()}`;
    const hidden = [
      'unshare',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs -o mode=777,uid=65534 none /var/tmp && mkdir -m 777 "$0" && exec "$@"',
    ];
    const { status, bundle, err } = build(environment({ XDG_DATA_HOME: data }), [...hidden, folder]);
    expect({ status, bundle }).toEqual({ status: 2, bundle: null });
    expect(err.join('')).toMatch(
      /^error: cannot build into ".*a project": FLARE reads .*\nhint: .*--output/m,
    );
    expect(readdirSync(project).sort()).toEqual(['docker', 'workspace']);
    await rm(data, { recursive: true });
  });
});

describe('an account and its machine', () => {
  it('with umask 077 builds the drives that it builds with 022', async () => {
    const seen: string[][] = [];
    for (const umask of ['022', '077']) {
      await makeProject('project');
      const bundle = await expectBuilt(build(environment(), ['sh', '-c', `umask ${umask}; exec "$0" "$@"`]));
      expect(readdirSync(bundle).sort()).toEqual([...bundleFiles]);
      if (umask === '077') expect(statSync(join(bundle, 'crypt_root.qcow2')).mode & 0o077).toBe(0);
      const file = (drive: string) => join(bundle, `${drive}.qcow2`);
      const lines: string[] = [];
      for (const drive of ['user_config', 'user_data', 'applog'])
        for await (const { changed: _, ...entry } of listFiles(file(drive), '/', { recursive: true }))
          lines.push(`${drive} ${JSON.stringify(entry)}`);
      seen.push(lines);
      await rm(project, { recursive: true });
    }
    expect(seen[0]!.length).toBeGreaterThan(8);
    expect(seen[1]).toEqual(seen[0]);
  });

  it.runIf(root)('with a checkout that can only be read builds, and writes nothing there', async () => {
    await makeProject('project');
    const readOnly =
      'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0/x" 2>/dev/null && exec "$@"';
    const wrapped = ['unshare', '--mount', 'sh', '-c', readOnly, projectRoot.replace(/\/$/, '')];
    await expectBuilt(build(environment(), wrapped));
  });

  it.runIf(hasSudo).each<[string, () => string[]]>([
    ['as sudo sets it up', () => []],
    ['with HOME of the account that asked (sudo -E)', () => [`HOME=${bench.path('caller')}`]],
  ])('under sudo builds, and leaves the caller’s home folder alone: %s', async (_, home) => {
    await makeProject('project');
    const caller = bench.path('caller');
    await mkdir(caller, { recursive: true });
    chownSync(caller, nobody.uid, nobody.gid);
    // Root's own cache and state are not for tests: where they would lie is what is looked at.
    const settings = [`XDG_STATE_HOME=${bench.path('state')}`, `XDG_CACHE_HOME=${bench.path('cache')}`];
    await expectBuilt(build(environment(), ['sudo', '-n', ...settings, ...home()]));
    const cvm = [join(projectRoot, 'bin/cvm'), 'cache'];
    const { stdout } = spawnSync('sudo', ['-n', ...home(), ...cvm], { encoding: 'utf8', env: environment() });
    expect(stdout).toContain(join(userInfo().homedir, '.cache/cvm-builder'));
    expect(readdirSync(caller)).toEqual([]);
  });
});
