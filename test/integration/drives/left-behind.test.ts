import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { makeDrive } from '../../../src/drives/index.ts';
import { serveDrive } from '../../../src/drives/serve.ts';
import { workDirectory } from '../../../src/host/temp.ts';

const cvm = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));

/** Process ids of programs that have a file open or in their arguments. */
async function holders(part: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (pid !== String(process.pid) && line.includes(part)) found.push(pid);
  }
  return found;
}

/** Also where nobody has asked for its status: a zombie has no command line. */
async function hasEnded(pid: string): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) === '';
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('it did not come to that');
    await delay(5);
  }
}

async function newDrive(folder: string): Promise<string> {
  const file = join(folder, 'user_data.qcow2');
  await makeDrive({ file, bytes: 64 * 2 ** 20, label: 'user_data', seed: 'killed', workDirectory: folder });
  return file;
}

it('a builder that is killed while it opens a drive leaves no server and no lock', async () => {
  await using top = await workDirectory();
  const drive = await newDrive(top.path);
  for (let turn = 0; turn < 8; turn++) {
    const args = [cvm, 'drive', 'rm', `${drive}:/absent`];
    const child = spawn(process.execPath, args, {
      stdio: 'ignore',
      env: { ...process.env, TMPDIR: top.path },
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // From the moment at which there is a server, before and after it has its client.
    const ours = async () => (await serversOf(child.pid!)).length > 0 || child.exitCode !== null;
    await until(ours);
    const servers = await serversOf(child.pid!);
    await delay(turn * 3);
    child.kill('SIGKILL');
    await ended;
    await until(async () => (await Promise.all(servers.map(hasEnded))).every(Boolean));
  }
  await using free = await serveDrive(drive, { writable: true });
  expect(free.disk.size).toBe(64 * 2 ** 20);
}, 120_000);

/** qemu-nbd processes among the children of a process. */
async function serversOf(parent: number): Promise<string[]> {
  const children = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '');
  const found: string[] = [];
  for (const pid of children.split(' ').filter((each) => each !== '')) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.split('\0')[0]!.endsWith('qemu-nbd')) found.push(pid);
  }
  return found;
}

it.skipIf(!existsSync('/dev/fuse'))('a read-only mount ends with a builder that is killed', async () => {
  await using top = await workDirectory();
  const drive = await newDrive(top.path);
  const folder = join(top.path, 'mounted');
  await mkdir(folder);
  const child = spawn(process.execPath, [cvm, 'drive', 'mount', drive, folder], {
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: top.path },
  });
  const isMounted = async () => (await readFile('/proc/self/mounts', 'utf8')).includes(` ${folder} `);
  await until(isMounted);
  child.kill('SIGKILL');
  await until(async () => !(await isMounted()));
  await until(async () => (await holders(folder)).length === 0);
});
