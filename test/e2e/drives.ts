import { cp, mkdir, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { run } from '../../src/host/run.ts';
import { workDirectory } from '../../src/host/temp.ts';

/** A run of bytes that a qcow2 drive holds, in the guest's order. */
export interface Extent {
  /** Where the guest sees it, bytes. */
  start: number;
  length: number;
  /** Where it lies in the file, bytes. */
  offset: number;
}

/** The parts of a qcow2 drive that hold data. */
export async function driveExtents(drive: string): Promise<Extent[]> {
  const text = await run('qemu-img', ['map', '--output=json', '-f', 'qcow2', drive]);
  const extents = JSON.parse(text) as (Omit<Extent, 'offset'> & { data: boolean; offset?: number })[];
  return extents.filter(
    (extent): extent is typeof extent & Extent => extent.data && extent.offset !== undefined,
  );
}

/** Flips one bit of the byte that the guest sees at `position`, as a host can at any time. */
export async function flipByteOfDrive(drive: string, position: number): Promise<void> {
  const extent = (await driveExtents(drive)).find(
    ({ start, length }) => start <= position && position < start + length,
  );
  if (extent === undefined) throw new Error(`${drive} holds no data at ${position}`);
  await flipByte(drive, extent.offset + position - extent.start);
}

/** Flips one bit of the byte at `position` of a file. */
export async function flipByte(file: string, position: number): Promise<void> {
  await using handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  await handle.write(Buffer.of(byte[0]! ^ 0x01), 0, 1, position);
}

/** Overwrites the start of a drive as the guest sees it. */
export async function overwriteStart(drive: string, content: Buffer): Promise<void> {
  await using work = await workDirectory();
  const file = join(work.path, 'content');
  await writeFile(file, content);
  await execa('qemu-io', ['-f', 'qcow2', '-c', `write -s ${file} 0 ${content.length}`, drive]);
}

/** Runs debugfs's commands on a plain drive, as a host that edits the file system without mounting it. */
export async function editDrive(
  drive: string,
  commands: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using work = await workDirectory();
  const raw = join(work.path, 'raw');
  const script = join(work.path, 'script');
  for (const [name, text] of Object.entries(files)) await writeFile(join(work.path, name), text);
  await writeFile(script, `${commands.join('\n')}\n`);
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', drive, raw]);
  const { stdout, stderr } = await execa('debugfs', ['-w', '-f', script, raw], { cwd: work.path });
  // debugfs ends with status 0 whatever it could not do; all it says of what went well is its prompt and one line.
  const complaints = [...stderr.split('\n').slice(1), ...stdout.split('\n')].filter(
    (line) => line !== '' && !/^debugfs: |^Allocated inode: /.test(line),
  );
  if (complaints.length > 0) throw new Error(`debugfs: ${complaints.join(' | ')}`);
  await rm(drive);
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, drive]);
}

/** Where the first block of a folder lies in a drive's qcow2 file, bytes. */
export async function offsetOfFolder(drive: string, path: string): Promise<number> {
  await using work = await workDirectory();
  const raw = join(work.path, 'raw');
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', drive, raw]);
  const { stdout } = await execa('debugfs', ['-R', `blocks ${path}`, raw]);
  const position = Number(stdout.trim().split(/\s+/)[0]) * 4096;
  const extent = (await driveExtents(drive)).find(
    ({ start, length }) => start <= position && position < start + length,
  );
  if (extent === undefined || !(position > 0)) throw new Error(`${path} has no block in ${drive}`);
  return extent.offset + position - extent.start;
}

/** The longest run of bytes in one piece that a drive holds now and did not hold before, in the guest's order. */
export function longestNewRun(
  before: readonly Extent[],
  now: readonly Extent[],
): { start: number; length: number } {
  const cluster = 65536;
  const held = new Set<number>();
  const clustersOf = ({ start, length }: Extent) =>
    Array.from({ length: Math.ceil(length / cluster) }, (_, index) => Math.floor(start / cluster) + index);
  for (const extent of before) for (const index of clustersOf(extent)) held.add(index);
  const added = now
    .flatMap(clustersOf)
    .filter((index) => !held.has(index))
    .sort((a, b) => a - b);
  let longest = { start: 0, length: 0 };
  let from = 0;
  for (let at = 1; at <= added.length; at++) {
    if (added[at] === added[at - 1]! + 1) continue;
    const length = (at - from) * cluster;
    if (length > longest.length) longest = { start: added[from]! * cluster, length };
    from = at;
  }
  return longest;
}

/** Kills the QEMU that has a drive open, as a host does that loses its power. */
export async function killVm(drive: string): Promise<void> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words[0]?.includes('qemu-system') && words.some((word) => word.includes(`file=${drive}`)))
      process.kill(Number(pid), 'SIGKILL');
  }
}

/**
 * Puts a drive of the host's own making in the place of another, with a link out, a pipe and a set-id program. Of a file larger
 * than the drive it holds what fits, so that it is full.
 */
export async function replaceDrive(
  drive: string,
  mib: number,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await using work = await workDirectory();
  const content = join(work.path, 'content');
  await mkdir(join(content, 'mnt'), { recursive: true });
  const isBig = ([, text]: [string, string]) => text.length >= 2 ** 20;
  for (const [name, text] of Object.entries(files).filter((file) => !isBig(file)))
    await writeFile(join(content, name), text, { mode: 0o755 });
  await symlink('/user_config/nvflare/startup/client.key', join(content, 'away'));
  await execa('mkfifo', [join(content, 'pipe')]);
  await cp('/bin/true', join(content, 'setuid'));
  const raw = join(work.path, 'raw');
  await execa('truncate', ['-s', `${mib}M`, raw]);
  await execa('mke2fs', ['-q', '-F', '-t', 'ext4', '-m', '0', '-d', content, raw]);
  await execa('debugfs', ['-w', '-R', 'set_inode_field setuid mode 0104755', raw]);
  for (const [name, text] of Object.entries(files).filter(isBig)) {
    await writeFile(join(work.path, 'big'), text);
    await execa('debugfs', ['-w', '-R', `write big ${name}`, raw], { cwd: work.path });
  }
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, drive]);
}
