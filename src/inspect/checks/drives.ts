import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check, ExaminedBundle, Finding } from '../../bundle/index.ts';
import { hasCode, messageOf } from '../../host/errors.ts';
import { readSuperblock } from '../../host/ext4/superblock.ts';
import { start } from '../../host/run.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { workDirectory } from '../../host/temp.ts';
import { locateTool } from '../../host/tools.ts';
import { blocksOf } from '../inside.ts';
import { type Drive, openQcow2 } from '../qcow2/drive.ts';

const plainDrives = ['applog.qcow2', 'user_config.qcow2', 'user_data.qcow2'] as const;

/** Bytes of data up to which a private copy is made for e2fsck. */
const largestCopy = 4 * 2 ** 30;
/** How long e2fsck may take over a hostile drive, milliseconds, and how much it may say, bytes. */
const bounds = { timeout: 300_000, maxBuffer: 2 ** 20 };
/** `s_state` in the superblock: 2 bytes, bit 1 says that the kernel found errors (super.rst). */
const state = { offset: 1024 + 0x3a, errors: 2 };

/** Each plain drive: one ext4 file system on the whole of it, closed, and sound by e2fsck on a private copy. */
export const drivesCheck: Check = {
  name: 'plain drives',
  async run(bundle): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const name of plainDrives) findings.push(...(await checkDrive(name, bundle)));
    return findings;
  },
};

async function checkDrive(subject: string, { source, signal }: ExaminedBundle): Promise<Finding[]> {
  const finding = (severity: Finding['severity'], text: string): Finding => ({ subject, severity, text });
  try {
    const drive = await openQcow2(await blocksOf(source, subject));
    const superblock = await readSuperblock(drive);
    // e2fsck would open the device of this machine that the drive names.
    if ((superblock.features.compatible & 4) !== 0 && superblock.journalInode === 0)
      return [finding('failure', 'has its journal on another device')];
    const findings: Finding[] = [];
    if (drive.header.snapshots > 0)
      findings.push(finding('note', `holds ${drive.header.snapshots} internal snapshots`));
    const bytes = superblock.blocksCount * superblock.blockSize;
    if (bytes !== drive.size)
      findings.push(
        finding('note', `has ${drive.size} bytes, its file system ${bytes}: the rest is not used`),
      );
    if (((await drive.read(state.offset, 2)).readUInt16LE() & state.errors) !== 0)
      findings.push(finding('failure', 'holds a file system in which the kernel found errors'));
    if (superblock.needsRecovery) findings.push(unclosed(subject));
    return [...findings, ...(await checkCopy(subject, drive, superblock.needsRecovery, signal))];
  } catch (error) {
    if (error instanceof MalformedError)
      return [finding('failure', `is not a usable ext4 drive: ${error.message}`)];
    throw error;
  }
}

/** The VM mounts applog for writing, and user_data without replaying its journal. */
function unclosed(subject: string): Finding {
  if (subject === 'applog.qcow2')
    return { subject, severity: 'note', text: 'was not closed: the VM was killed, or is running' };
  return {
    subject,
    severity: 'failure',
    text: 'was not closed: its journal holds changes that are not in their places yet',
    consequence: 'the VM mounts it read-only, without replaying the journal; "e2fsck -f" closes it',
  };
}

async function checkCopy(
  subject: string,
  drive: Drive,
  needsRecovery: boolean,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const notChecked = (text: string): Finding[] => [{ subject, severity: 'not checked', text }];
  if (locateTool('e2fsck') === undefined)
    return notChecked('was not checked: there is no e2fsck on this machine');
  let bytes = 0;
  for await (const { length } of drive.allocated()) bytes += length;
  if (bytes > largestCopy)
    return notChecked(
      `holds ${bytes} bytes of data: too much to check a copy of; run "e2fsck -fn" on the drive`,
    );
  await using work = await workDirectory({ bytes });
  const copy = join(work.path, 'drive.raw');
  try {
    await copyDrive(drive, copy, signal);
  } catch (error) {
    if (hasCode(error, 'ENOSPC') || hasCode(error, 'EFBIG'))
      return notChecked(`holds ${bytes} bytes of data, and ${work.path} has no room for a copy; set TMPDIR`);
    throw error;
  }
  const run = (args: string[]) => start('e2fsck', [...args, copy], { signal }, { ...bounds, reject: false });
  if (needsRecovery) await run(['-y', '-E', 'journal_only']);
  const checked = (await run(['-fn'])) as {
    exitCode?: number;
    stdout?: unknown;
    timedOut?: boolean;
    message?: string;
  };
  signal?.throwIfAborted();
  if (checked.exitCode === 0) return [];
  if (checked.exitCode === undefined || checked.exitCode > 4)
    return notChecked(
      `was not checked: e2fsck ended early: ${messageOf(checked.message ?? checked.exitCode)}`,
    );
  const details = String(checked.stdout ?? '')
    .split('\n')
    .filter((line) => line !== '' && !/^Pass \d|^e2fsck |: \d+\/\d+ files /.test(line))
    .slice(0, 20);
  return [{ subject, severity: 'failure', text: 'holds a damaged file system, by e2fsck', details }];
}

/** Writes a drive's content to a sparse file. */
async function copyDrive(drive: Drive, path: string, signal: AbortSignal | undefined): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.truncate(drive.size);
  for await (const { offset, length } of drive.allocated()) {
    signal?.throwIfAborted();
    await file.write(await drive.read(offset, length), 0, length, offset);
  }
}
