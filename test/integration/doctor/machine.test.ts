import { spawnSync } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockFile } from '../../../src/host/lock.ts';
import { afterMounts, asNobody, checkOf, Doctor } from './doctor.ts';

const root = process.getuid?.() === 0;
const mounts = root && spawnSync('unshare', ['--mount', 'true']).status === 0;
const offline = ['--offline', '--json'];

let doctor: Doctor;
beforeEach(async () => {
  doctor = await Doctor.make();
});
afterEach(() => doctor[Symbol.asyncDispose]());

describe('folders', () => {
  it.runIf(mounts)('on a read-only file system, also to root: not usable', async () => {
    const readOnly = `mount -t tmpfs -o ro tmpfs ${doctor.home}`;
    const report = await doctor.report(afterMounts(readOnly, ...doctor.command(...offline)));
    expect(checkOf(report, 'folders.output').says).toContain('its file system is read-only');
    expect(checkOf(report, 'folders.cache').says).toMatch(
      /cannot be made in .*: its file system is read-only/,
    );
    expect(report.status).toBe(1);
  });

  it.runIf(mounts)('without room: not usable, with how much is needed', async () => {
    const small = `mount -t tmpfs -o size=50m tmpfs ${doctor.home}`;
    const report = await doctor.report(afterMounts(small, ...doctor.command(...offline)));
    expect(checkOf(report, 'folders.output')).toMatchObject({
      status: 'problem',
      says: expect.stringMatching(/50(?:\.0)? MiB free: a build needs 512 MiB at least/),
      facts: { freeBytes: 50 * 2 ** 20 },
    });
  });

  it.runIf(mounts)('of mmdebstrap must not be mounted noexec while a base is to be built', async () => {
    const noexec = `mkdir ${doctor.folder}/tmp && mount -t tmpfs -o noexec tmpfs ${doctor.folder}/tmp`;
    const command = afterMounts(noexec, ...doctor.command(...offline));
    const report = await doctor.report(command, { TMPDIR: `${doctor.folder}/tmp` });
    expect(checkOf(report, 'folders.temporary')).toMatchObject({
      status: 'problem',
      says: expect.stringContaining('mounted noexec'),
    });
  });

  it('for the cache that others may write to: not usable', async () => {
    const cache = join(doctor.home, '.cache/cvm-builder');
    await mkdir(cache, { recursive: true });
    await chmod(cache, 0o777);
    const report = await doctor.report(doctor.command(...offline));
    expect(checkOf(report, 'folders.cache').says).toContain('other accounts may write to it');
    expect(report.status).toBe(1);
  });

  it.runIf(root)('that an ordinary account may not write to: not usable', async () => {
    const file = await doctor.builderFile('output: /root', 'policy_directory: /root/policy');
    const report = await doctor.report(asNobody(...doctor.command(...offline, '--config', file)));
    expect(checkOf(report, 'folders.output').says).toContain('this account may not write to it');
    // Production images are not built without a key broker, so their directory does not matter yet.
    expect(checkOf(report, 'settings.policy-directory').status).toBe('warning');
    expect(report.status).toBe(1);
  });
});

describe('an ordinary account', () => {
  it.runIf(root)('without a range of ids cannot build the base, and is told how to get one', async () => {
    const report = await doctor.report(asNobody(...doctor.command(...offline)));
    expect(checkOf(report, 'machine.namespaces')).toMatchObject({ status: 'problem' });
    expect(checkOf(report, 'machine.namespaces').hint).toMatch(/usermod --add-subuids .* nobody|container/);
  });

  it.runIf(mounts)('with one can: it is tried', async () => {
    const range = 'printf "nobody:200000:65536\\n" > "$HOME/ids"';
    const given = ['subuid', 'subgid'].map((file) => `mount --bind "$HOME/ids" /etc/${file}`).join(' && ');
    const command = afterMounts(`${range} && ${given}`, ...asNobody(...doctor.command(...offline)));
    const { checks } = await doctor.report(command);
    const trial = spawnSync(
      'unshare',
      afterMounts(`${range} && ${given}`, ...asNobody('mmdebstrap', '--unshare-helper', 'true')).slice(1),
      { env: { ...process.env, HOME: doctor.home }, cwd: '/' },
    );
    const status = checks.find(({ id }) => id === 'machine.namespaces')?.status;
    expect(status).toBe(trial.status === 0 ? 'ok' : 'problem');
  });
});

describe('the policy directory', () => {
  const directory = () => join(doctor.folder, 'policy');
  const look = async () => {
    const file = await doctor.builderFile(
      'kbs:',
      '  url: http://127.0.0.1:1',
      `policy_directory: ${directory()}`,
    );
    const report = await doctor.report(doctor.command(...offline, '--config', file));
    return checkOf(report, 'settings.policy-directory');
  };
  beforeEach(() => mkdir(directory(), { mode: 0o755 }));

  it('with a good registry is ok', async () => {
    await writeFile(join(directory(), 'cvm-registry.json'), '{"version":1,"kind":"production","images":[]}');
    expect(await look()).toMatchObject({ status: 'ok', facts: { images: 0, active: 0 } });
  });

  it('with a damaged registry is a problem, with line and column', async () => {
    await writeFile(join(directory(), 'cvm-registry.json'), '{"version":1,\n!}');
    const found = await look();
    expect([found.status, found.says]).toEqual(['problem', expect.stringContaining('cvm-registry.json:2:1')]);
  });

  it('with a link in place of the policy is a problem', async () => {
    await symlink('/elsewhere.rego', join(directory(), 'policy.rego'));
    expect(await look()).toMatchObject({ status: 'problem', says: expect.stringContaining('symbolic link') });
  });

  it('that every account may write is a warning', async () => {
    await chmod(directory(), 0o777);
    expect(await look()).toMatchObject({ status: 'warning', hint: `chmod o-w ${directory()}` });
  });

  it('that is locked by a build is a warning, and the lock stays', async () => {
    const path = join(directory(), '.cvm-registry.lock');
    const lock = await lockFile(path);
    const found = await look();
    expect([found.status, found.says]).toEqual(['warning', expect.stringContaining('locked at this moment')]);
    await lock.release();
    expect((await look()).status).toBe('ok');
  });
});
