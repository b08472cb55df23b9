import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

let root: string;
const path = (name: string) => join(root, name);

/** The guest's script on this machine, what it names by absolute path below `root`; the runtime only says what it was asked. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'start-test-'));
  const folders = ['applog', 'bin', 'dev', 'run/cvm/workload/rootfs', 'usr/lib/cvm/workload', 'vault'];
  for (const folder of folders) await mkdir(path(folder), { recursive: true });
  await writeFile(path('usr/lib/cvm/attach-mounts'), `#!/bin/sh\necho "$*" > ${path('attached')}\n`, {
    mode: 0o755,
  });
  for (const name of ['workload.sh', 'workload-start']) {
    const text = await readFile(templatePath(`site/${name}`), 'utf8');
    const moved = text.replaceAll(
      /(?<![\w$}/])\/(applog|dev\/console|run|usr\/lib\/cvm|vault)\b/g,
      `${root}/$1`,
    );
    await writeFile(path(`usr/lib/cvm/${name}`), moved);
  }
  await writeFile(path('bin/crun'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
});

afterEach(() => rm(root, { recursive: true, force: true }));

/** @returns what the runtime was asked last. */
async function start(): Promise<string> {
  const { status, stderr } = spawnSync('sh', [path('usr/lib/cvm/workload-start')], {
    env: { PATH: `${path('bin')}:${process.env.PATH}` },
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return await readFile(path('run/cvm/workload.pipe'), 'utf8');
}

const asked = () => `--cgroup-manager=cgroupfs run --bundle ${path('run/cvm/bundle')} workload\n`;

it('starts the workload with an empty vault, after its root was looked at', async () => {
  expect(await start()).toBe(asked());
  expect(await readFile(path('attached'), 'utf8')).toBe(
    `${path('run/cvm/workload/rootfs')} ${path('usr/lib/cvm/workload/mount-points')} ${path('run/cvm/user-namespace')}\n`,
  );
});

it('starts nothing where its root cannot be used, and says why', async () => {
  await writeFile(path('run/cvm/verdict-port'), '');
  const refusal = '#!/bin/sh\necho "the image has no folder at /dev"\nexit 3\n';
  await writeFile(path('usr/lib/cvm/attach-mounts'), refusal, { mode: 0o755 });
  await writeFile(path('bin/crun'), `#!/bin/sh\ncase "$*" in *run*) : > ${path('started')} ;; esac\n`, {
    mode: 0o755,
  });
  const { status } = spawnSync('sh', [path('usr/lib/cvm/workload-start')], {
    env: { PATH: `${path('bin')}:${process.env.PATH}` },
  });
  expect(status).toBe(1);
  expect(await readdir(root)).not.toContain('started');
  expect(await readFile(path('applog/boot.log'), 'utf8')).toMatch(
    /FAILED E75: the container cannot be set up: the image has no folder at \/dev\n$/,
  );
  expect(await readdir(path('run/cvm'))).toContain('workload.refused');
});

it('notes how long the log is, so that the end of this run can be told from earlier ones', async () => {
  await writeFile(path('applog/workload.log'), 'earlier\n');
  expect(await start()).toBe(asked());
  expect(await readFile(path('run/cvm/workload.log-size'), 'utf8')).toBe('8\n');
});

it('removes the process numbers that a FLARE which was cut off left in the vault, and nothing else', async () => {
  const left = ['daemon_pid.fl', 'pid.fl', 'restart.fl', 'model.npy'];
  for (const folder of [
    'vault/workspace',
    'vault/workspace/nvflare',
    'vault/workspace/nvflare/job',
    'vault',
  ]) {
    await mkdir(path(folder), { recursive: true });
    for (const name of left) await writeFile(path(`${folder}/${name}`), '1\n');
  }
  expect(await start()).toBe(asked());
  expect((await readdir(path('vault/workspace'))).sort()).toEqual(['model.npy', 'nvflare', 'restart.fl']);
  expect((await readdir(path('vault/workspace/nvflare'))).sort()).toEqual(['job', 'model.npy', 'restart.fl']);
  for (const folder of ['vault', 'vault/workspace/nvflare/job']) {
    expect(await readdir(path(folder))).toEqual(expect.arrayContaining(left));
  }
});

it.each([
  'vault/workspace',
  'vault/workspace/nvflare',
])('follows no link that the workload put in the place of %s', async (link) => {
  await mkdir(path('elsewhere'));
  await writeFile(path('elsewhere/pid.fl'), '1\n');
  await mkdir(path('elsewhere/deeper'));
  await writeFile(path('elsewhere/deeper/pid.fl'), '1\n');
  await mkdir(join(path(link), '..'), { recursive: true });
  await symlink(path('elsewhere'), path(link));
  expect(await start()).toBe(asked());
  expect(await readdir(path('elsewhere'))).toEqual(['deeper', 'pid.fl']);
  expect(await readdir(path('elsewhere/deeper'))).toEqual(['pid.fl']);
});

it('ends what is left of the container before it looks at anything that the container could exchange', async () => {
  await mkdir(path('vault/workspace'));
  await writeFile(path('vault/workspace/pid.fl'), '1\n');
  const seen = `[ -e ${path('vault/workspace/pid.fl')} ] && [ ! -e ${path('attached')} ]`;
  const script = `#!/bin/sh\ncase "$*" in *delete*) ${seen} && : > ${path('untouched')} ;; *) echo "$@" ;; esac\n`;
  await writeFile(path('bin/crun'), script, { mode: 0o755 });
  expect(await start()).toBe(asked());
  expect(await readdir(root)).toContain('untouched');
  expect(await readdir(path('vault/workspace'))).toEqual([]);
  expect(await readdir(root)).toContain('attached');
});

it('removes files of folders with any name, and starts no program for each', async () => {
  const odd = ['-rf', 'a b', 'a\nb', '*', '$(id)', '[!a]'];
  const empty = Array.from({ length: 200 }, (_, index) => `empty-${index}`);
  for (const name of [...odd, ...empty]) await mkdir(path(`vault/workspace/${name}`), { recursive: true });
  for (const name of odd) {
    await writeFile(path(`vault/workspace/${name}/pid.fl`), '1\n');
    await symlink(path('nowhere'), path(`vault/workspace/${name}/daemon_pid.fl`));
  }
  expect(await start()).toBe(asked());
  for (const name of odd) expect(await readdir(path(`vault/workspace/${name}`)), name).toEqual([]);
  expect(await readdir(path('vault/workspace'))).toHaveLength(odd.length + empty.length);
});
