import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, UserError } from '../host/errors.ts';
import { hasPrivateName } from './private-keys.ts';
import { compareBytes, editableLine, fileLine, folderLine } from './sealed-list.ts';
import { moveStaged, stageFile } from './stage-file.ts';
import { type TreeEntry, walkTree } from './walk-tree.ts';

/**
 * What the guest copies into RAM at boot, and so what a kit may come to: bytes, each entry rounded up to 4096, and
 * number of files and folders. Less than the guest's own bound (`copy_limit_kib` of the initrd).
 */
export const startupKitLimits = { bytes: 60 * 2 ** 20, entries: 10_000 } as const;

export interface StartupKitOptions {
  /** Folder on this machine by name below /user_config. */
  folders: Readonly<Record<string, string>>;
  /** `<name>/<path>` of files whose content the site may change. */
  editable?: readonly string[];
  /** Private folder to stage in; on tmpfs where possible, because private keys are copied to it. */
  workDirectory: string;
  limits?: { bytes: number; entries: number };
  signal?: AbortSignal | undefined;
}

/** The `user_config` folders, split into what may lie on a plain drive and what may not. */
export interface StartupKit {
  /** Content of the `user_config` drive: one folder per name. Holds no private key. */
  plainFolder: string;
  /** The private keys, under the same paths; for the sealed layer. Holds only the folders that lead to one. */
  privateFolder: string;
  /** Paths in {@link privateFolder}, e.g. `nvflare/startup/client.key`, sorted bytewise. */
  privateFiles: string[];
  /** The sealed list; its form is described in sealed-list.ts. */
  sealedList: string;
  warnings: string[];
}

/**
 * Reads the startup kit and whatever else `user_config` names, and stages two trees with modes kept (permission bits
 * alone). What is hashed is what was copied, byte for byte.
 * @throws UserError for anything but regular files and folders, for names that cannot be listed one a line, for
 *   a kit over the limits, and for an editable file that is absent, no regular file or a private key.
 */
export async function readStartupKit(options: StartupKitOptions): Promise<StartupKit> {
  const { folders, workDirectory, signal } = options;
  const plainFolder = join(workDirectory, 'plain');
  const privateFolder = join(workDirectory, 'private');
  await mkdir(plainFolder, { mode: 0o755 });
  await mkdir(privateFolder, { mode: 0o755 });

  const editable = new Set(options.editable);
  const budget = { ...(options.limits ?? startupKitLimits) };
  const lines: string[] = [];
  const privateFiles: string[] = [];
  const warnings: string[] = [];
  const folderModes: [path: string, mode: number][] = [];

  for (const [name, folder] of Object.entries(folders).sort(([a], [b]) => compareBytes(a, b))) {
    checkName(name);
    for await (const entry of walkTree(await sourceFolder(name, folder), name)) {
      signal?.throwIfAborted();
      spend(budget, entry, options.limits ?? startupKitLimits);
      const mode = keptMode(entry, warnings);
      if (entry.kind === 'folder') {
        await mkdir(join(plainFolder, entry.path), { mode: 0o700 });
        folderModes.push([entry.path, mode]);
        lines.push(folderLine(entry.path, mode));
        continue;
      }
      const staged = join(plainFolder, entry.path);
      const { sha256, holdsKey } = await stageFile(entry, staged, signal);
      if (holdsKey || hasPrivateName(entry.path.slice(entry.path.lastIndexOf('/') + 1))) {
        await moveStaged(staged, join(privateFolder, entry.path), mode);
        privateFiles.push(entry.path);
        continue;
      }
      await chmod(staged, mode);
      lines.push(editable.has(entry.path) ? editableLine(entry.path) : fileLine(entry.path, mode, sha256));
    }
  }

  checkEditable(editable, lines, privateFiles, warnings);
  await setFolderModes(plainFolder, privateFolder, folderModes);
  return {
    plainFolder,
    privateFolder,
    privateFiles: privateFiles.sort(compareBytes),
    sealedList: lines
      .sort(compareBytes)
      .map((line) => `${line}\n`)
      .join(''),
    warnings,
  };
}

function checkName(name: string): void {
  if (/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(name)) return;
  throw new UserError(
    `cannot use ${JSON.stringify(name)} in user_config: it cannot be the name of a folder`,
    {
      hint: 'use letters, digits, ".", "_" and "-"',
    },
  );
}

/** The folder that the admin named may be reached by a link; what is in it may not. */
async function sourceFolder(name: string, folder: string): Promise<string> {
  const found = await stat(folder).catch((error: unknown) => {
    const cause = hasCode(error, 'ENOENT') ? 'there is no such folder' : (error as Error).message;
    throw new UserError(`cannot read user_config.${name}, ${folder}: ${cause}`);
  });
  if (!found.isDirectory())
    throw new UserError(`cannot read user_config.${name}, ${folder}: it is not a folder`);
  return await realpath(folder);
}

function spend(left: { bytes: number; entries: number }, entry: TreeEntry, limits: typeof left): void {
  left.entries -= 1;
  left.bytes -= Math.max(1, Math.ceil(entry.size / 4096)) * 4096;
  if (left.entries >= 0 && left.bytes >= 0) return;
  throw new UserError(
    `cannot use user_config: with ${entry.path} it holds more than ${limits.entries} files and folders or ${limits.bytes / 2 ** 20} MiB`,
    {
      hint: 'it is copied into memory at every start; put data on the user_data drive or into the docker image',
    },
  );
}

function keptMode(entry: TreeEntry, warnings: string[]): number {
  const special = entry.mode & 0o7000;
  if (special !== 0) {
    const bits = special.toString(8).padStart(4, '0');
    warnings.push(`${entry.source}: its set-uid, set-gid or sticky bits (${bits}) are not kept`);
  }
  return entry.mode & 0o777;
}

/** Files that FLARE runs or takes code names from: start-up scripts, custom code, components, logging. */
const leadsToCode =
  /\/startup\/|\/custom\/|\.(?:sh|py)$|\/(?:resources|log_config|fed_client|fed_server)\.json(?:\.default)?$/;

function checkEditable(
  editable: Set<string>,
  lines: string[],
  privateFiles: string[],
  warnings: string[],
): void {
  for (const path of editable) {
    const cannot = (cause: string) => new UserError(`cannot make ${path} editable: ${cause}`);
    if (privateFiles.includes(path))
      throw cannot('it holds a private key, which never lies on a plain drive');
    if (!lines.includes(editableLine(path))) {
      const folder = lines.some((line) => line.startsWith('d ') && line.endsWith(` - ${path}`));
      throw cannot(folder ? 'it is a folder' : 'there is no such file in user_config');
    }
    const code = leadsToCode.test(path)
      ? '; the workload takes code from it, so the host can run any code as the workload'
      : '';
    warnings.push(`${path} is editable: whoever runs the host can put anything into it unnoticed${code}`);
  }
}

/** Modes of folders come last, deepest first, because one without write permission could not be filled. */
async function setFolderModes(
  plain: string,
  sealed: string,
  modes: [path: string, mode: number][],
): Promise<void> {
  for (const [path, mode] of modes.toReversed()) {
    await chmod(join(plain, path), mode);
    await chmod(join(sealed, path), mode).catch((error: unknown) => {
      if (!hasCode(error, 'ENOENT')) throw error;
    });
  }
}
