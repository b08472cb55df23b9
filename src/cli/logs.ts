import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openDrive, printable } from '../drives/index.ts';
import { UserError } from '../host/errors.ts';

/** Largest log that is printed, bytes. */
const limit = 64 * 2 ** 20;

/** `cvm logs`: what lies on the applog drive. The drive is hostile: its text is printed without control characters. */
export async function logsCommand(bundle: string, names: readonly string[]): Promise<void> {
  const isFolder = (await stat(bundle).catch(() => undefined))?.isDirectory() ?? false;
  await using drive = await openDrive(isFolder ? join(bundle, 'applog.qcow2') : bundle);
  const files = ((await drive.list('/')) ?? []).filter(({ kind }) => kind === 'file').map(({ name }) => name);
  for (const name of names.length > 0 ? names : files) {
    const content = await drive.readFile(`/${name}`, limit);
    if (content === undefined) {
      throw new UserError(`cannot print ${printable(name)}: the drive has no such file`, {
        hint: `it has ${files.map(printable).join(', ') || 'no files'}`,
      });
    }
    if (names.length !== 1) process.stdout.write(`==> ${printable(name)} <==\n`);
    for (const line of content.toString('utf8').split('\n')) process.stdout.write(`${printable(line)}\n`);
  }
}
