import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { exitStatus, UserError } from '../host/errors.ts';
import { whyNotOwn } from '../host/folders.ts';
import { ownHomeFolder } from '../host/home.ts';

/** FLARE takes what stands between two blanks for the path (`\S+` of Python). Control characters make no line either. */
const endsAPath = /[\p{Z}\p{Cc}\p{Cf}]/u;

/**
 * A path to the output folder that can stand in the line which FLARE reads: the folder's own, or, where that holds blanks, a
 * link to it in a folder of this account's. The files lie in the output folder in either case.
 * @throws UserError where no link can be made
 */
export async function printedPath(output: string): Promise<string> {
  if (!endsAPath.test(output)) return output;
  const name = basename(output).replaceAll(/[^A-Za-z0-9._-]+/g, '_');
  const digest = createHash('sha256').update(output).digest('hex');
  for (const folder of linkFolders()) {
    const link = join(folder, `${name}-${digest.slice(0, 12)}`);
    if (!endsAPath.test(link) && (await isOwnFolder(folder)) && (await linked(link, output))) return link;
  }
  throw new UserError(
    `cannot build into ${JSON.stringify(output)}: FLARE reads a path up to its first blank`,
    {
      hint: 'name a folder without blanks: --output, or output in builder.yml',
      status: exitStatus.usage,
    },
  );
}

function linkFolders(): string[] {
  const data = process.env.XDG_DATA_HOME;
  return [
    join(
      data !== undefined && isAbsolute(data) ? data : join(ownHomeFolder(), '.local/share'),
      'cvm-builder/output',
    ),
    `/var/tmp/cvm-builder-${process.getuid?.()}`,
  ];
}

/** Makes the folder; false where it cannot be made, or others may write to it: they could lead FLARE to a file of theirs. */
async function isOwnFolder(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch(() => undefined);
  const found = await lstat(folder).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) return false;
  if (found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) return false;
  return (await whyNotOwn(folder)) === undefined;
}

async function linked(link: string, target: string): Promise<boolean> {
  if ((await readlink(link).catch(() => undefined)) === target) return true;
  const temporary = `${link}.${randomBytes(6).toString('hex')}`;
  try {
    await symlink(target, temporary);
    await rename(temporary, link);
    return true;
  } catch {
    await rm(temporary, { force: true });
    return false;
  }
}
