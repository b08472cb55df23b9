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
  const folders = ['bin', 'proc/sys/net/ipv4', 'run/cvm/workload/rootfs', 'usr/lib/cvm/workload', 'vault'];
  for (const folder of folders) await mkdir(path(folder), { recursive: true });
  await writeFile(path('usr/lib/cvm/workload/volumes'), '');
  for (const name of ['workload.sh', 'workload-start']) {
    const text = await readFile(templatePath(`site/${name}`), 'utf8');
    const moved = text.replaceAll(/(?<![\w$}/])\/(proc\/sys|run|usr\/lib\/cvm|vault)\b/g, `${root}/$1`);
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

const asked = () => `--cgroup-manager=cgroupfs run --bundle ${path('usr/lib/cvm/workload')} workload\n`;

it('starts the workload with an empty vault', async () => {
  expect(await start()).toBe(asked());
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
