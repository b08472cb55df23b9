import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { developmentState, policyPlace } from '../../../src/build/policy-place.ts';
import {
  type BuildRequest,
  type BuildSettings,
  bundleName,
  loadSettings,
  projectOfKit,
} from '../../../src/build/settings.ts';
import { UserError } from '../../../src/host/errors.ts';

const minimal = `compute_env: onprem_cvm
cc_cpu_mechanism: amd_sev_snp
root_drive_size: 2
applog_drive_size: 1
user_config_drive_size: 1
user_data_drive_size: 1
docker_archive: image.tar.gz
user_config:
  nvflare: kit/site-1
`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'settings-test-'));
  await mkdir(join(folder, 'etc/kit/site-1'), { recursive: true });
  await mkdir(join(folder, 'work'));
  await put('etc/image.tar.gz', '');
  await put('etc/builder.yml', '{}\n');
  vi.spyOn(process, 'cwd').mockReturnValue(join(folder, 'work'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const put = (name: string, text: string) => writeFile(join(folder, name), text);

async function load(text = minimal, more: Partial<BuildRequest> = {}) {
  await put('etc/cc_site-9.yml', text);
  return loadSettings({
    configFile: join(folder, 'etc/cc_site-9.yml'),
    builderFile: join(folder, 'etc/builder.yml'),
    development: false,
    ...more,
  });
}

async function refusal(text?: string, more?: Partial<BuildRequest>): Promise<UserError> {
  const error = await load(text, more).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).status).toBe(2);
  return error as UserError;
}

describe('loadSettings', () => {
  it('resolves everything to absolute paths, outputs in the working directory', async () => {
    const settings = await load();
    expect(settings).toMatchObject({
      kind: 'production',
      name: 'site-1',
      dockerArchive: join(folder, 'etc/image.tar.gz'),
      userConfig: { nvflare: join(folder, 'etc/kit/site-1') },
      targetFolder: join(folder, 'work/target'),
      handoffFolder: join(folder, 'work/handoff'),
      keepPrevious: false,
      acceptFirmware: [],
      warnings: [],
    });
  });

  it('looks in the working directory before the folder of the file', async () => {
    await put('work/image.tar.gz', '');
    expect((await load()).dockerArchive).toBe(join(folder, 'work/image.tar.gz'));
  });

  it('takes nothing from a temporary folder of all accounts, where anybody could have put it', async () => {
    await chmod(join(folder, 'etc'), 0o1777);
    const { details } = await refusal();
    expect(details.join('\n')).toContain(`there is no ${join(folder, 'work/image.tar.gz')}\n`);
    expect(details.join('\n')).not.toContain('etc/image.tar.gz');
    await chmod(join(folder, 'etc'), 0o755);
    expect((await load()).dockerArchive).toBe(join(folder, 'etc/image.tar.gz'));
  });

  it('tells all problems of both files at once, each with file, line and column', async () => {
    await put('etc/builder.yml', 'kbs:\n  url: nonsense\nmachine:\n  cpu: host\n');
    const { details } = await refusal(
      minimal
        .replace('root_drive_size: 2', 'root_drive_size: many')
        .replace('docker_archive: image.tar.gz\n', ''),
    );
    expect(details.length).toBeGreaterThanOrEqual(4);
    for (const line of details) expect(line).toMatch(/\/etc\/(cc_site-9|builder)\.yml:\d+:\d+: ./);
    for (const part of ['cc_site-9.yml:3:18: ', 'docker_archive', 'builder.yml:2:8: ', 'builder.yml:4:8: '])
      expect(details.join('\n')).toContain(part);
  });

  it('tells all paths that lead nowhere at once, with the places looked at', async () => {
    const { details } = await refusal(
      minimal.replace('image.tar.gz', 'nowhere.tar').replace('kit/site-1', '~other/kit'),
    );
    expect(details[0]).toContain(
      `there is no ${join(folder, 'work/nowhere.tar')} and no ${join(folder, 'etc/nowhere.tar')}`,
    );
    expect(details[1]).toContain('user_config.nvflare is "~other/kit"');
    expect(details).toHaveLength(2);
  });

  it('warns of an unknown key and names the nearest known one', async () => {
    const { warnings } = await load(`${minimal}alowed_ports: [1]\n`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/cc_site-9\.yml:10:1: .*allowed_ports/);
  });

  it('tells that a file is not there', async () => {
    const { message } = await refusal(minimal, { builderFile: join(folder, 'absent.yml') });
    expect(message).toBe(`cannot read ${join(folder, 'absent.yml')}: there is no such file`);
  });

  it('names the bundle by --name, else by the kit, else by the file', async () => {
    expect((await load(minimal, { name: 'my site' })).name).toBe('my_site');
    expect((await load()).name).toBe('site-1');
    const other = minimal.replace('nvflare: kit', 'other: kit');
    expect((await load(other)).name).toBe('site-9');
  });

  it('reads the project off the path of a FLARE kit, unless it is given', async () => {
    await mkdir(join(folder, 'etc/hospitals/prod_03/site-2'), { recursive: true });
    const text = minimal.replace('kit/site-1', 'hospitals/prod_03/site-2/');
    expect(await load(text)).toMatchObject({ name: 'site-2', project: 'hospitals' });
    expect((await load(text, { project: 'p' })).project).toBe('p');
    expect((await load()).project).toBeUndefined();
  });

  it('takes the output folder from the command line, else from builder.yml', async () => {
    await put('etc/builder.yml', `output: ${folder}/out\ncache: ~/some-cache\n`);
    const settings = await load();
    expect(settings.targetFolder).toBe(join(folder, 'out/target'));
    expect(settings.cacheRoot).toBe(join(homedir(), 'some-cache'));
    expect((await load(minimal, { output: 'here' })).handoffFolder).toBe(join(folder, 'work/here/handoff'));
  });

  it('never lays what stays with the administrator into the folder of bundles', async () => {
    const { targetFolder, handoffFolder } = await load();
    expect(`${handoffFolder}/`.startsWith(`${targetFolder}/`)).toBe(false);
  });

  it('accepts the firmware of both builder.yml and the command line', async () => {
    await put('etc/builder.yml', `accept_firmware: [${'AB'.repeat(32)}]\n`);
    const { acceptFirmware } = await load(minimal, { acceptFirmware: ['cd'.repeat(32)] });
    expect(acceptFirmware).toEqual(['ab'.repeat(32), 'cd'.repeat(32)]);
  });
});

describe('loadSettings, where a path leads nowhere', () => {
  it('names the place in the file, as for every other problem', async () => {
    const { details } = await refusal(minimal.replace('image.tar.gz', 'nowhere.tar'));
    expect(details[0]).toMatch(/cc_site-9\.yml:7:17: /);
  });
});

describe('bundleName', () => {
  it.each([
    ['site-1', 'site-1'],
    ['admin@example.org', 'admin@example.org'],
    ['Hospital A  (north)', 'Hospital_A_north_'],
    ['.hidden', 'hidden'],
    ['--option', 'option'],
    ['x'.repeat(300), 'x'.repeat(100)],
  ])('makes of %j the file name %j', (wanted, name) => {
    expect(bundleName(wanted)).toBe(name);
  });

  it.each(['', '...', '--'])('refuses %j', (wanted) => {
    expect(() => bundleName(wanted)).toThrow(expect.objectContaining({ status: 2 }));
  });

  it.each([
    '(north)',
    '日本 1',
    '_site',
    '@home',
    '+1',
    '../../etc/passwd',
  ])('makes of %j a name that manifest and archive take too', (wanted) => {
    expect(bundleName(wanted)).toMatch(/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/);
  });
});

describe('projectOfKit', () => {
  it.each([
    ['/ws/proj/prod_00/site-1', 'proj'],
    ['/ws/proj/prod_12/site-1/', 'proj'],
    ['/ws/prod_00/a/b', undefined],
    ['/prod_00/site-1', undefined],
    ['/ws/proj/prod_x/site-1', undefined],
    ['site-1', undefined],
  ])('reads off %s: %s', (path, project) => {
    expect(projectOfKit(path)).toBe(project);
  });
});

const directoryOf = (settings: BuildSettings) =>
  policyPlace(settings.kind, settings, settings.handoffFolder).directory;

describe('developmentState', () => {
  it('lies in XDG_STATE_HOME where that is absolute, else in ~/.local/state', () => {
    vi.stubEnv('XDG_STATE_HOME', '/state');
    expect(developmentState()).toBe('/state/cvm-builder/development');
    vi.stubEnv('XDG_STATE_HOME', 'relative');
    expect(developmentState()).toBe(join(homedir(), '.local/state/cvm-builder/development'));
  });
});

describe('policyDirectory', () => {
  it('is the development state for every development bundle, whatever builder.yml says', async () => {
    vi.stubEnv('XDG_STATE_HOME', folder);
    await put('etc/builder.yml', 'policy_directory: /srv/policy\n');
    expect(directoryOf(await load(minimal, { development: true }))).toBe(developmentState());
    expect(directoryOf(await load())).toBe('/srv/policy');
  });

  it('is never the development state for a production bundle', async () => {
    vi.stubEnv('XDG_STATE_HOME', folder);
    expect(directoryOf(await load())).not.toContain(developmentState());
  });
});
