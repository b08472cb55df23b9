import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkGroups } from '../../../src/doctor/index.ts';
import { afterMounts, asNobody, checkOf, Doctor } from './doctor.ts';

const root = process.getuid?.() === 0;
const mounts = root && spawnSync('unshare', ['--mount', 'true']).status === 0;

let doctor: Doctor;
beforeEach(async () => {
  doctor = await Doctor.make();
});
afterEach(() => doctor[Symbol.asyncDispose]());

describe('the report', () => {
  it('holds every check, in order, and nothing is written', async () => {
    const report = await doctor.report(doctor.command('--offline', '--json'));
    expect(report.checks.map(({ id }) => id)).toEqual(
      checkGroups.flatMap(({ checks }) => checks.map(({ id }) => id)),
    );
    expect(checkOf(report, 'sources.base')).toMatchObject({ status: 'info', facts: { cached: false } });
    expect(spawnSync('find', [doctor.home, '-mindepth', '1'], { encoding: 'utf8' }).stdout).toBe('');
  });

  it('says the same to people, and the status is that of the verdict', async () => {
    const { status, usable, checks } = await doctor.report(doctor.command('--offline', '--json'));
    const text = await doctor.run(doctor.command('--offline'));
    expect(text.status).toBe(usable ? 0 : 1);
    expect(status).toBe(text.status);
    expect(text.stdout).not.toContain('\x1b');
    const lines = text.stdout.split('\n').filter((line) => /^ {2}(?:ok|info|warning|problem) /.test(line));
    expect(lines).toHaveLength(checks.length);
  });

  it('asks nobody where it is offline', async () => {
    let asked = 0;
    const server = createServer((socket) => {
      asked += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const file = await doctor.builderFile('kbs:', `  url: http://127.0.0.1:${port}`);
    const report = await doctor.report(doctor.command('--offline', '--json', '--config', file));
    expect(checkOf(report, 'key-broker.reach').says).toBe('not asked (--offline)');
    expect(checkOf(report, 'sources.apt').says).toBe('not asked (--offline)');
    expect(asked).toBe(0);
    server.close();
  });
});

describe('tools', () => {
  it('too old for a build: not usable', async () => {
    await doctor.program('mke2fs', ['echo "mke2fs 1.46.5 (30-Dec-2021)" >&2']);
    const report = await doctor.report(doctor.command('--offline', '--json'));
    expect(report).toMatchObject({
      status: 1,
      usable: false,
      packages: expect.arrayContaining(['e2fsprogs']),
    });
    expect(checkOf(report, 'tools.mke2fs')).toMatchObject({
      status: 'problem',
      facts: { version: '1.46.5', minimum: '1.47.0' },
    });
  });

  it.runIf(mounts)('missing: not usable, and the command that installs them', async () => {
    const hidden = 'mount --bind /dev/null /usr/bin/cpio && mount --bind /dev/null /usr/bin/gensquashfs';
    const { status, stdout } = await doctor.run(afterMounts(hidden, ...doctor.command('--offline')));
    expect(status).toBe(1);
    expect(stdout).toMatch(/problem {2}cpio +not installed; for every build\n +hint: apt-get install cpio/);
    expect(stdout).toMatch(/^not usable: [2-9]\d* problems/m);
    expect(stdout).toContain('"cvm doctor --fix" runs: apt-get install cpio squashfs-tools-ng');
  });

  it.runIf(mounts)('missing that only a boot needs: usable', async () => {
    const hidden = 'mount --bind /dev/null /usr/bin/qemu-system-x86_64';
    const report = await doctor.report(afterMounts(hidden, ...doctor.command('--offline', '--json')));
    expect(checkOf(report, 'tools.qemu-system-x86_64').status).toBe('warning');
    expect(report.checks.filter(({ status }) => status === 'problem')).toEqual([]);
    expect(report).toMatchObject({ status: 0, usable: true, packages: ['qemu-system-x86'] });
  });
});

describe('--fix', () => {
  const old = ['[ -e "$0.fixed" ] && echo "cpio (GNU cpio) 2.13" || echo "cpio (GNU cpio) 2.9"'];

  it.runIf(root)('installs what is missing or too old, asks nothing, and looks again', async () => {
    const cpio = await doctor.program('cpio', old);
    await doctor.program('apt-get', [
      'case "$1" in --version) echo "apt 2.6.1 (amd64)"; exit ;; esac',
      `echo "$*" >> ${doctor.folder}/calls; touch ${cpio}.fixed`,
    ]);
    const { status, stdout, stderr } = await doctor.run(doctor.command('--offline', '--json', '--fix'));
    expect(stderr).toBe('Installing Debian packages: cpio\n');
    expect(await readFile(`${doctor.folder}/calls`, 'utf8')).toMatch(
      /install --no-install-recommends cpio\n$/,
    );
    const report = JSON.parse(stdout);
    expect(checkOf(report, 'tools.cpio').status).toBe('ok');
    expect([status, report.usable]).toEqual([0, true]);
  });

  it.runIf(root)('that fails ends with status 1, and the report shows what is still wrong', async () => {
    await doctor.program('cpio', old);
    await doctor.program('apt-get', [
      'case "$1" in --version) echo "apt 2.6.1 (amd64)"; exit ;; esac',
      'echo "E: no network" >&2; exit 100',
    ]);
    const { status, stdout, stderr } = await doctor.run(doctor.command('--offline', '--json', '--fix'));
    expect(stderr).toMatch(/E: no network/);
    expect(stderr).toMatch(/error: cannot install host tools: apt-get failed\nhint: apt-get install cpio\n$/);
    expect([status, checkOf(JSON.parse(stdout), 'tools.cpio').status]).toEqual([1, 'problem']);
  });

  it.runIf(root)('of an ordinary account without sudo says what root has to run', async () => {
    await doctor.program('cpio', old);
    await doctor.program('sudo', ['exit 1']);
    const { status, stderr } = await doctor.run(asNobody(...doctor.command('--offline', '--fix')));
    expect(status).toBe(1);
    expect(stderr).toMatch(/not root, and sudo asks for a password\nhint: apt-get install .*cpio/);
  });

  it('says so where there is nothing to install', async () => {
    const { packages } = await doctor.report(doctor.command('--offline', '--json'));
    expect(packages).toEqual([]);
    const { stderr } = await doctor.run(doctor.command('--offline', '--fix'));
    expect(stderr).toBe('no package is missing\n');
  });
});

describe('settings', () => {
  it('with mistakes are listed with their lines, and the checks go on', async () => {
    const file = await doctor.builderFile(
      'machine:',
      '  memory: none',
      'kbs:',
      '  push: maybe',
      'outputt: /srv',
    );
    const report = await doctor.report(doctor.command('--offline', '--json', '--config', file));
    const found = checkOf(report, 'settings.builder-file');
    expect(found.status).toBe('problem');
    expect(found.says).toContain('2 mistakes');
    expect(found.details).toEqual([
      expect.stringContaining(`${file}:2:`),
      expect.stringContaining(`${file}:4:`),
      expect.stringMatching(/outputt.*\(warning\)$/),
    ]);
    expect(report.status).toBe(1);
    expect(checkOf(report, 'machine.platform').status).toBe('ok');
  });

  it('that are not there are a usage error where they were named', async () => {
    const { status, stderr, stdout } = await doctor.run(doctor.command('--config', '/no/such/builder.yml'));
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain('cannot read /no/such/builder.yml: there is no such file');
  });

  const brought = existsSync(join(import.meta.dirname, '../../../binaries/kbs-client'));
  it.skipIf(brought)('of production need a kbs-client', async () => {
    const file = await doctor.builderFile('kbs:', '  url: http://127.0.0.1:1');
    const production = await doctor.report(doctor.command('--offline', '--json', '--config', file));
    expect(checkOf(production, 'settings.binaries').status).toBe('problem');
    const development = await doctor.report(doctor.command('--offline', '--json'));
    expect(checkOf(development, 'settings.binaries').status).toBe('info');
  });
});

describe('apt sources', () => {
  it.runIf(mounts)('that cannot be reached are a problem while the base is to be built', async () => {
    const list = `echo 'deb http://127.0.0.1:1/debian bookworm main' > ${doctor.folder}/sources.list`;
    const only = `mount -t tmpfs tmpfs /etc/apt && mkdir /etc/apt/preferences.d /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d && cp ${doctor.folder}/sources.list /etc/apt/sources.list`;
    const report = await doctor.report(afterMounts(`${list} && ${only}`, ...doctor.command('--json')));
    expect(checkOf(report, 'sources.apt')).toMatchObject({
      status: 'problem',
      says: expect.stringContaining('127.0.0.1'),
      hint: expect.stringContaining('/etc/apt/sources.list'),
    });
    expect(report.status).toBe(1);
  });

  it("of this machine are signed, and hold its distribution's archive", async () => {
    const report = await doctor.report(doctor.command('--json'));
    expect(checkOf(report, 'sources.apt')).toMatchObject({ status: 'ok' });
    expect(checkOf(report, 'sources.apt').facts.suites).not.toEqual([]);
  });
});

it('an option that does not exist is a usage error', async () => {
  expect(await doctor.run(doctor.command('--fixx'))).toMatchObject({ status: 2, stdout: '' });
});
