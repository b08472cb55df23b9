import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openBundle } from '../bundle/index.ts';
import { type DirectoryEntry, openDrive, printable } from '../drives/index.ts';
import { UserError } from '../host/errors.ts';
import { workDirectory } from '../host/temp.ts';
import { causesText, loggedCodes, logLines, readExplanations } from '../inspect/index.ts';
import { bytesText } from '../report/text.ts';

/** Largest log that is printed, bytes. */
const limit = 64 * 2 ** 20;
/** Logs that are printed where none is named: the VM writes four, the host may add what it likes. */
const mostLogs = 64;
/** The log that the codes stand in; what the workload prints elsewhere is not taken for the VM's own words. */
const bootLogs: ReadonlySet<string> = new Set(['boot.log', 'boot.log.1']);

export interface LogsFlags {
  /** False for `--no-explain`. */
  explain?: boolean;
}

/**
 * `cvm logs`: what lies on the applog drive, then what is known of the codes in the boot log. The drive is hostile: its text is
 * printed without control characters, and proves nothing.
 */
export async function logsCommand(
  bundle: string,
  names: readonly string[],
  flags: LogsFlags = {},
): Promise<void> {
  // Of an archive nobody knows how large it unpacks: not in memory.
  await using work = await workDirectory({ bytes: Number.POSITIVE_INFINITY });
  await using drive = await openDrive(await applogOf(bundle, work.path));
  const files = ((await drive.list('/')) ?? []).filter(({ kind }) => kind === 'file');
  if (files.length === 0) process.stderr.write('the drive has no logs: the VM was not started yet\n');
  const explained: string[] = [];
  for (const { name, size } of names.length > 0 ? named(names, files) : printed(files)) {
    if (names.length !== 1) await print(`==> ${printable(name)} <==\n`);
    if (size > limit) {
      await print(`(left out: it has ${bytesText(size)}, more than ${bytesText(limit)})\n`);
      continue;
    }
    const content = (await drive.readFile(`/${name}`, limit)) ?? Buffer.alloc(0);
    await printLines(content);
    if (!bootLogs.has(name) || flags.explain === false) continue;
    const text = causesText(name, loggedCodes(logLines(content)), await readExplanations());
    if (text !== '') explained.push(text);
  }
  if (explained.length > 0) await print(`\n==> what the codes mean <==\n${explained.join('\n')}`);
}

/** The drive itself, or applog.qcow2 of a bundle folder or archive. */
async function applogOf(bundle: string, workDirectory: string): Promise<string> {
  if ((await stat(bundle).catch(() => undefined))?.isDirectory()) return join(bundle, 'applog.qcow2');
  if (!/\.(?:tgz|tar\.gz)$/.test(bundle)) return bundle;
  const { folder } = await openBundle(bundle, { workDirectory, only: ['applog.qcow2'] });
  return join(folder, 'applog.qcow2');
}

function named(names: readonly string[], files: readonly DirectoryEntry[]): DirectoryEntry[] {
  return names.map((name) => {
    const found = files.find((file) => file.name === name);
    if (found !== undefined) return found;
    const others = files
      .slice(0, mostLogs)
      .map((file) => printable(file.name))
      .join(', ');
    throw new UserError(`cannot print ${printable(name)}: the drive has no such file`, {
      hint: `it has ${others || 'no files'}`,
    });
  });
}

function printed(files: readonly DirectoryEntry[]): readonly DirectoryEntry[] {
  if (files.length <= mostLogs) return files;
  process.stderr.write(`the drive has ${files.length} files; the first ${mostLogs} are printed\n`);
  return files.slice(0, mostLogs);
}

/** Many lines at once: a log may be millions of empty ones. */
async function printLines(content: Buffer): Promise<void> {
  let pending = '';
  for (const line of logLines(content)) {
    pending += `${printable(line)}\n`;
    if (pending.length < 65_536) continue;
    await print(pending);
    pending = '';
  }
  await print(pending);
}

/** Waits for a slow reader, so that a large log is not gathered in memory; one that has gone is not waited for. */
async function print(text: string): Promise<void> {
  const { stdout } = process;
  if (stdout.destroyed || stdout.write(text)) return;
  const events = ['drain', 'close', 'error'];
  await new Promise<void>((resolve) => {
    const settle = () => {
      for (const event of events) stdout.off(event, settle);
      resolve();
    };
    for (const event of events) stdout.on(event, settle);
  });
}
