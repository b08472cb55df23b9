import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { Header } from 'tar';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bundleFiles, openBundle, packBundle } from '../../../src/bundle/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { id, makeBundle } from '../../unit/bundle/fixture.ts';

let top: WorkDirectory;
let folder: string;
let out: string;
let into: string;
beforeEach(async () => {
  top = await workDirectory();
  folder = await makeBundle(top.path);
  await writeFile(join(folder, 'crypt_root.qcow2'), randomBytes(3_000_001));
  out = join(top.path, 'site-1.tgz');
  into = join(top.path, 'into');
  await mkdir(into);
});
afterEach(async () => {
  await top[Symbol.asyncDispose]();
});

const digest = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

test('plain tar opens it, with the files, modes and owner that the guides name', async () => {
  await chmod(folder, 0o700);
  await packBundle({ folder, name: 'site-1', out });
  const { stdout } = await execa('tar', ['-zxvf', out, '-C', into]);
  expect(stdout.split('\n')).toEqual([
    'site-1/',
    `site-1/cvm_${id}/`,
    ...bundleFiles.map((name) => `site-1/cvm_${id}/${name}`),
  ]);
  for (const name of bundleFiles) {
    const unpacked = join(into, 'site-1', `cvm_${id}`, name);
    expect(await digest(unpacked)).toBe(await digest(join(folder, name)));
    expect((await stat(unpacked)).mode & 0o777).toBe(name === 'launch_vm.sh' ? 0o755 : 0o644);
  }
  const { stdout: long } = await execa('tar', ['--numeric-owner', '-tvf', out]);
  for (const line of long.split('\n')) expect(line).toMatch(/^\S+ 0\/0 /);
});

test('blocks are stored, not deflated', async () => {
  await truncate(join(folder, 'crypt_root.qcow2'), 0);
  await truncate(join(folder, 'crypt_root.qcow2'), 2_000_000);
  await packBundle({ folder, name: 'site-1', out });
  expect((await stat(out)).size).toBeGreaterThan(2_000_000);
  await execa('gzip', ['-t', out]);
});

test('the same files give the same bytes', async () => {
  await packBundle({ folder, name: 'site-1', out });
  const copy = join(top.path, 'elsewhere', `cvm_${id}`);
  await cp(folder, copy, { recursive: true });
  await utimes(join(copy, 'vmlinuz'), 1, 1);
  await packBundle({ folder: copy, name: 'site-1', out: `${out}2` });
  expect(await digest(`${out}2`)).toBe(await digest(out));
});

test('progress ends at the whole', async () => {
  const seen: [number, number][] = [];
  await packBundle({ folder, name: 'site-1', out, progress: (...at) => seen.push(at) });
  expect(seen.at(-1)![0]).toBe(seen.at(-1)![1]);
  expect(seen.length).toBeGreaterThan(3);
});

test('a failure or an abort leaves the old archive and nothing else', async () => {
  await writeFile(out, 'old');
  const before = (await readdir(top.path)).sort();
  const controller = new AbortController();
  const progress = () => controller.abort(new Error('stopped'));
  await expect(
    packBundle({ folder, name: 'site-1', out, signal: controller.signal, progress }),
  ).rejects.toThrow('stopped');
  await rm(join(folder, 'vmlinuz'));
  await expect(packBundle({ folder, name: 'site-1', out })).rejects.toThrow(/vmlinuz is missing/);
  expect(await readFile(out, 'utf8')).toBe('old');
  expect((await readdir(top.path)).sort()).toEqual(before);
});

test('a file that grows meanwhile is an error, not a broken archive', async () => {
  const progress = (done: number) => {
    if (done < 10_000) void writeFile(join(folder, 'vmlinuz'), 'grown '.repeat(99));
  };
  await writeFile(join(folder, 'vmlinuz'), 'short');
  await expect(packBundle({ folder, name: 'site-1', out, progress })).rejects.toThrow(
    /vmlinuz changed meanwhile/,
  );
});

test.each(['a b', '../x', 'a/b', '', '-x', '.x'])('the name %j is refused', async (name) => {
  await expect(packBundle({ folder, name, out })).rejects.toThrow(/no plain file name/);
});

test('a bundle is opened as an archive, a folder, or the folder around it', async () => {
  await packBundle({ folder, name: 'site-1', out });
  const opened = await openBundle(out, { workDirectory: into });
  expect(opened).toEqual({ folder: join(into, `cvm_${id}`), id });
  for (const name of bundleFiles) {
    expect(await digest(join(opened.folder, name))).toBe(await digest(join(folder, name)));
  }
  expect((await stat(join(opened.folder, 'crypt_root.qcow2'))).mode & 0o777).toBe(0o600);
  expect((await openBundle(folder, { workDirectory: into })).folder).toBe(folder);
  expect((await openBundle(top.path, { workDirectory: into })).folder).toBe(folder);
});

interface Entry {
  path: string;
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO';
  linkpath?: string;
  content?: string;
  size?: number;
}

/** An archive with exactly these entries, whatever they are. */
async function archive(entries: Entry[], finish = true): Promise<string> {
  const parts: Buffer[] = [];
  for (const { path, type = 'File', linkpath, content = 'x', size } of entries) {
    const header = Buffer.alloc(512);
    const bytes = type === 'File' ? Buffer.from(content) : Buffer.alloc(0);
    new Header({
      path,
      type,
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: size ?? bytes.length,
      mtime: new Date(0),
      ...(linkpath === undefined ? {} : { linkpath }),
    }).encode(header);
    parts.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  if (finish) parts.push(Buffer.alloc(1024));
  const file = join(top.path, 'hostile.tgz');
  await writeFile(file, gzipSync(Buffer.concat(parts)));
  return file;
}

const good: Entry[] = bundleFiles.map((name) => ({ path: `s/cvm_${id}/${name}` }));
const inside = (name: string) => `s/cvm_${id}/${name}`;

test('the ten files alone are enough, empty or not', async () => {
  good[2]!.content = '';
  expect((await openBundle(await archive(good), { workDirectory: into })).id).toBe(id);
});

test.each<[string, Entry]>([
  ['a file outside', { path: '../escape' }],
  ['an absolute path', { path: '/tmp/escape' }],
  ['a path that climbs', { path: inside('../../escape') }],
  ['an unknown file', { path: inside('.bashrc') }],
  ['a file in a folder of its own', { path: inside('x/vmlinuz') }],
  ['a symbolic link', { path: inside('applog.qcow2'), type: 'SymbolicLink', linkpath: '/etc/passwd' }],
  ['a hard link', { path: inside('applog.qcow2'), type: 'Link', linkpath: inside('vmlinuz') }],
  ['a device', { path: inside('applog.qcow2'), type: 'CharacterDevice' }],
  ['a pipe', { path: inside('applog.qcow2'), type: 'FIFO' }],
  ['a folder in place of a file', { path: inside('applog.qcow2/'), type: 'Directory' }],
  ['a link for the folder', { path: `s/cvm_${id}`, type: 'SymbolicLink', linkpath: '/tmp' }],
  ['a second bundle', { path: 's/cvm_000000000000/vmlinuz' }],
  ['a file twice', { path: inside('OVMF.amdsev.fd') }],
  ['a name with an escape', { path: inside('vmlinuz\u001b[2J') }],
])('an archive with %s is refused and writes nothing outside', async (_, entry) => {
  const outside = (await readdir(top.path)).concat('hostile.tgz').sort();
  const place = entry.path.includes('OVMF') || entry.path.includes('000000') ? good.length : 0;
  const file = await archive([...good.slice(0, place), entry, ...good]);
  await expect(openBundle(file, { workDirectory: into })).rejects.toThrow(/cannot open bundle/);
  expect((await readdir(top.path)).sort()).toEqual(outside);
  for (const name of await readdir(into)) expect(name).toBe(`cvm_${id}`);
});

test('a size beyond the disk is refused before a byte is written', async () => {
  const file = await archive([{ path: inside('applog.qcow2'), size: 2 ** 50 }], false);
  await expect(openBundle(file, { workDirectory: into })).rejects.toThrow(/does not fit/);
});

test('a cut archive, an incomplete one and other files are refused', async () => {
  await packBundle({ folder, name: 'site-1', out });
  await truncate(out, 1_000_000);
  await expect(openBundle(out, { workDirectory: into })).rejects.toThrow(/cannot open bundle/);
  await rm(into, { recursive: true });
  await mkdir(into);
  await expect(openBundle(await archive(good.slice(1)), { workDirectory: into })).rejects.toThrow(
    /OVMF\.amdsev\.fd is missing/,
  );
  await writeFile(out, 'no archive at all\n'.repeat(100));
  await expect(openBundle(out, { workDirectory: into })).rejects.toThrow(/cannot open bundle/);
  await expect(openBundle(join(top.path, 'absent'), { workDirectory: into })).rejects.toThrow(/no such file/);
  await expect(openBundle(into, { workDirectory: into })).rejects.toThrow(
    /holds no folder cvm_<id>|is missing/,
  );
});

test('a folder with a link for a file is refused', async () => {
  await rm(join(folder, 'vmlinuz'));
  await symlink('/etc/passwd', join(folder, 'vmlinuz'));
  await expect(openBundle(folder, { workDirectory: into })).rejects.toThrow(/vmlinuz is not a regular file/);
  await expect(packBundle({ folder, name: 'site-1', out: `${out}3` })).rejects.toThrow();
});
