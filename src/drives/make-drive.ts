import { createHash } from 'node:crypto';
import { rename, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf, UserError } from '../host/errors.ts';
import { run, start, toolError } from '../host/run.ts';
import { measureFolder } from './folder-size.ts';

export interface DriveOptions {
  /** The qcow2 file to write; replaced where it exists. */
  file: string;
  /** Size of the drive in bytes; a multiple of 4096. */
  bytes: number;
  /** ext4 volume label, at most 16 bytes; also the first part of the key `<label>_drive_size` in messages. */
  label: string;
  /** Folder whose content becomes the drive's; an empty drive otherwise. Owners become 0:0, modes are kept. */
  content?: string;
  /** Keep `lost+found` beside the content: `e2fsck -f` on a drive without asks its owner about it. */
  lostAndFound?: boolean;
  /** Any text; the file system's identifiers are derived from it and the label. */
  seed: string;
  /** Private folder for the raw intermediate, which is sparse. */
  workDirectory: string;
  signal?: AbortSignal | undefined;
}

/**
 * Every time stamp on a drive: 1980-01-02T00:00:00Z. Not 1970, because zip archives, which workloads make of
 * their configuration, cannot hold a time before 1980.
 */
const fixedTime = 315_619_200;
const blockBytes = 4096;

/**
 * Our own mke2fs.conf: a drive must not depend on the defaults of the machine that builds it, and e2fsprogs from
 * 1.45 on and Linux from 4.x on must be able to read it (so neither orphan_file nor metadata_csum_seed).
 */
const mke2fsConfiguration = `[fs_types]
ext4 = {
  base_features = none
  features = has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum
  blocksize = ${blockBytes}
  inode_size = 256
  inode_ratio = 16384
  hash_alg = half_md4
}
${['floppy', 'small', 'big', 'huge'].map((type) => `${type} = {\n}\n`).join('')}`;

/**
 * Makes a qcow2 drive with one ext4 file system on the whole of it, without root or mounting. The same content, size,
 * label and seed give the same bytes. A drive with content holds exactly that, no `lost+found` unless wanted; an empty one
 * has `lost+found`, as mke2fs makes it. No blocks are reserved for root.
 * @throws UserError where the content does not fit.
 */
export async function makeDrive(options: DriveOptions): Promise<void> {
  const { bytes, label, content, seed, workDirectory, signal } = options;
  if (bytes % blockBytes !== 0 || bytes < 2 ** 20) throw new Error(`a drive cannot have ${bytes} bytes`);
  const size = content === undefined ? { bytes: 0, entries: 0 } : await measureFolder(content);
  const tooBig = (cause?: unknown) =>
    new UserError(
      `cannot fill drive ${label}: its content of ${mebibytes(size.bytes)} in ${size.entries} files and folders does not fit ${mebibytes(bytes)}`,
      { hint: `raise ${label}_drive_size`, cause },
    );
  if (size.bytes > bytes) throw tooBig();

  const raw = join(workDirectory, `${label}.raw`);
  const partial = join(dirname(options.file), `.${basename(options.file)}.${process.pid}.part`);
  try {
    await writeFile(raw, '');
    await truncate(raw, bytes);
    try {
      await formatRaw(raw, label, content, seed, workDirectory, signal);
    } catch (error) {
      throw /Could not allocate|No space left in ext2|no free space/i.test(messageOf(error))
        ? tooBig(error)
        : error;
    }
    if (content !== undefined) await fixTimes(raw, options.lostAndFound ?? false, workDirectory, signal);
    // One conversion routine in order (-m 1, no -W), so that clusters are always laid out alike.
    const conversion = [
      'convert',
      '-m',
      '1',
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      'compat=1.1,lazy_refcounts=off',
    ];
    await run('qemu-img', [...conversion, raw, partial], { signal });
    await rename(partial, options.file);
  } finally {
    await rm(partial, { force: true });
    await rm(raw, { force: true });
  }
}

async function formatRaw(
  raw: string,
  label: string,
  content: string | undefined,
  seed: string,
  workDirectory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const configuration = join(workDirectory, `${label}.mke2fs.conf`);
  await writeFile(configuration, mke2fsConfiguration);
  const extended = [
    `hash_seed=${uuidFrom(`${seed} ${label} directory hash`)}`,
    'root_owner=0:0',
    // The raw file is all zeros, so nothing needs to be zeroed now or by the kernel at the first mount.
    'assume_storage_prezeroed=1',
    'nodiscard',
  ];
  const identity = ['-L', label, '-U', uuidFrom(`${seed} ${label} file system`), '-E', extended.join(',')];
  const filled = content === undefined ? [] : ['-d', content];
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-m', '0', ...identity, ...filled, raw], {
    signal,
    fakeroot: true,
    env: { ...clockVariables, MKE2FS_CONFIG: configuration },
  });
}

/** The first is obeyed by e2fsprogs before 1.47.1 (and by debugfs), the second by later ones. */
const clockVariables = { E2FSPROGS_FAKE_TIME: String(fixedTime), SOURCE_DATE_EPOCH: String(fixedTime) };

/**
 * Gives every inode that `mke2fs -d` filled the fixed times (it copies the source's, and no one can set a source's
 * ctime), and takes lost+found out unless it is wanted. On a fresh file system the inodes in use are
 * exactly the first ones, so their count names them.
 */
async function fixTimes(
  raw: string,
  lostAndFound: boolean,
  cwd: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const statistics = await run('debugfs', ['-R', 'show_super_stats -h', raw], { signal });
  const count = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(statistics)?.[1]);
  const used = count('Inode count') - count('Free inodes');
  const first = count('First inode') + 1; // the first itself is lost+found
  if (!Number.isSafeInteger(used) || !Number.isSafeInteger(first))
    throw new Error('debugfs shows no inode counts');
  const commands = lostAndFound ? [] : ['rmdir lost+found'];
  for (let inode = first; inode <= used; inode++) {
    for (const name of ['ctime', 'atime', 'mtime'])
      commands.push(`set_inode_field <${inode}> ${name} @${fixedTime}`);
  }
  const script = join(cwd, `${basename(raw)}.debugfs`);
  await writeFile(script, `${commands.join('\n')}\n`);
  const args = ['-w', '-f', script, raw];
  const options = { signal, env: clockVariables };
  const output = await start('debugfs', args, options, { stdout: 'ignore' }).catch((error: unknown) => {
    throw toolError('debugfs', args, error, options);
  });
  // debugfs ends with status 0 whatever its commands did; after its version line it must have said nothing.
  const complaints = String(output.stderr).split('\n').slice(1).join(' | ');
  if (complaints !== '') throw new Error(`debugfs could not set the time stamps: ${complaints}`);
}

/** A UUID of version 8 (RFC 9562: custom content) made from a text. */
function uuidFrom(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
