import { createHash, randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { makeDrive } from '../../../src/drives/index.ts';
import { workDirectory } from '../../../src/host/temp.ts';

export const mib = 2 ** 20;
export const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
export const cvm = join(import.meta.dirname, '../../../src/cli/main.ts');

/** A drive with files, one of them behind `at` bytes, and what they must hold. */
export interface Sample {
  file: string;
  bytes: number;
  digests: Readonly<Record<string, string>>;
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Makes a drive of 256 MiB whose file `tail` lies in its second half: a shrinking file system has to move it. */
export async function makeSample(folder: string): Promise<Sample> {
  await using work = await workDirectory();
  const content = join(work.path, 'content');
  await mkdir(join(content, 'folder'), { recursive: true });
  const files = { 'folder/small': randomBytes(5000), tail: randomBytes(6 * mib) };
  await writeFile(join(content, 'filler'), randomBytes(140 * mib));
  await writeFile(join(content, 'folder/small'), files['folder/small']);
  const file = join(folder, 'sample.qcow2');
  const bytes = 256 * mib;
  await makeDrive({
    file,
    bytes,
    label: 'user_data',
    content,
    lostAndFound: true,
    seed: 's',
    workDirectory: work.path,
  });
  const raw = join(work.path, 'raw');
  await execa('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, raw]);
  await writeFile(join(work.path, 'tail'), files.tail);
  const requests = join(work.path, 'requests');
  await writeFile(requests, 'write tail /tail\nrm /filler\n');
  await execa('debugfs', ['-w', '-f', requests, raw], { env, cwd: work.path });
  // What the filler left takes no space any more.
  await execa('e2fsck', ['-fy', '-E', 'discard', raw], { env, reject: false });
  const { stdout } = await execa('debugfs', ['-R', 'blocks /tail', raw], { env });
  expect(Number(stdout.trim().split(/\s+/)[0]) * 4096).toBeGreaterThan(128 * mib);
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
  const digests = Object.fromEntries(Object.entries(files).map(([name, value]) => [name, digestOf(value)]));
  return { file, bytes, digests };
}

/** A copy of a sample in a folder of its own. */
export async function copyOf(sample: Sample, folder: string, name = 'user_data.qcow2'): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  const drive = join(folder, name);
  await copyFile(sample.file, drive);
  return drive;
}

/** Reads a drive as others' tools see it, whole and with every file, and gives its size, bytes. */
export async function expectWhole(drive: string, { digests }: Sample, where = ''): Promise<number> {
  await using work = await workDirectory({ bytes: 512 * mib });
  const raw = join(work.path, 'raw');
  // -U only because helpers of a run that was killed may still be ending.
  await execa('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', drive, raw]);
  const check = await execa('e2fsck', ['-fn', raw], { env, reject: false });
  expect(check.exitCode, `${where}: ${check.stdout}`).toBe(0);
  const { size } = await stat(raw);
  const header = await execa('dumpe2fs', ['-h', raw], { env });
  expect(Number(/^Block count: +(\d+)$/m.exec(header.stdout)?.[1]) * 4096, where).toBe(size);
  for (const [name, digest] of Object.entries(digests)) {
    await execa('debugfs', ['-R', `dump /${name} out`, raw], { env, cwd: work.path });
    expect(digestOf(await readFile(join(work.path, 'out'))), `${where}: ${name}`).toBe(digest);
  }
  return size;
}

/** One plain file again: nothing beside it, no backing file, nothing lost in it. */
export async function expectPlain(
  drive: string,
  names: readonly string[] = ['user_data.qcow2'],
  where = '',
): Promise<void> {
  expect(await readdir(join(drive, '..')), where).toEqual(names);
  const { stdout } = await execa('qemu-img', ['info', '--output=json', drive]);
  expect(JSON.parse(stdout)['backing-filename'], where).toBeUndefined();
  await execa('qemu-img', ['check', drive]);
}

/** Mounts of this project that nobody serves any more, or that are still there. */
export async function mounts(): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table.split('\n').filter((line) => /cvm-builder-\S+\/drive /.test(line));
}

/** The state between the two renames, made by hand: an overlay under the drive's name. */
export async function cutShort(drive: string, size: string): Promise<void> {
  const folder = join(drive, '..');
  const base = join(folder, '.user_data.qcow2.resize-base');
  const next = join(folder, '.user_data.qcow2.resize');
  await link(drive, base);
  const backing = ['-u', '-F', 'qcow2', '-b', './.user_data.qcow2.resize-base'];
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, next, size]);
  await rename(next, drive);
}
