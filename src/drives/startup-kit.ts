import { chmod, mkdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasCode, UserError } from '../host/errors.ts';
import { OpenedFiles } from './opened-files.ts';
import { hasPrivateName, PrivateKeyScanner } from './private-keys.ts';
import { hasPublicName, isPublicFile, largestPublicFile } from './public-files.ts';
import { compareBytes, digestOfLines, editableLine, fileLine, folderLine } from './sealed-list.ts';
import { moveStaged, stageFile } from './stage-file.ts';
import { type TreeEntry, walkTree } from './walk-tree.ts';

/**
 * What the guest copies into RAM at boot, and so what the plain part of user_config may come to: bytes, each entry rounded up to
 * 4096, and number of files and folders. Less than the guest's own bound (`copy_limit_kib` of the initrd).
 */
export const plainLimits = { bytes: 60 * 2 ** 20, entries: 10_000 } as const;

export interface StartupKitOptions {
  /** Folder on this machine by name below /user_config. */
  folders: Readonly<Record<string, string>>;
  /** `<name>/<path>` of files whose content the site may change. */
  editable?: readonly string[];
  /** What the host may read beside FLARE's public files; see {@link OpenedFiles}. */
  plain?: readonly string[];
  /** Private folder to stage in; on tmpfs where possible, because secrets are copied to it. */
  workDirectory: string;
  limits?: { bytes: number; entries: number };
  signal?: AbortSignal | undefined;
}

/** The `user_config` folders, split into what may lie on a plain drive and what may not. */
export interface StartupKit {
  /** Content of the `user_config` drive: what the host may read, and the folders that lead to it. */
  plainFolder: string;
  /** All else, under the same paths, for the sealed layer. Holds every folder: overlayfs takes a folder's attributes from here. */
  sealedFolder: string;
  /** Paths in {@link plainFolder}, sorted bytewise. */
  plainFiles: string[];
  /** Paths in {@link sealedFolder}, e.g. `nvflare/startup/client.key`, sorted bytewise. */
  sealedFiles: string[];
  /** What the files in {@link sealedFolder} come to. */
  sealedBytes: number;
  /** The sealed list; its form is described in sealed-list.ts. */
  sealedList: string;
  /** `treeDigest` of what was staged. */
  digest: string;
  warnings: string[];
}

/**
 * Reads the startup kit and whatever else `user_config` names, and stages two trees with modes kept (permission bits
 * alone). A file is sealed unless it is known to be public, or was opened by the administrator and holds no private key. What is
 * judged and hashed is what was copied, byte for byte.
 * @throws UserError for anything but regular files and folders, for names that cannot be listed one a line, for
 *   a plain part over the limits, and for an editable file that is absent, no regular file or a private key.
 */
export async function readStartupKit(options: StartupKitOptions): Promise<StartupKit> {
  const { folders, workDirectory, signal } = options;
  const plainFolder = join(workDirectory, 'plain');
  const sealedFolder = join(workDirectory, 'sealed');
  for (const folder of [plainFolder, sealedFolder]) {
    await mkdir(folder, { mode: 0o755 });
    await chmod(folder, 0o755);
  }

  const editable = new Set(options.editable);
  const opened = new OpenedFiles(options.plain);
  const plain = new PlainPart(options.limits ?? plainLimits);
  const all: string[] = [];
  const sealedFiles: string[] = [];
  let sealedBytes = 0;
  const warnings: string[] = [];
  const folderModes = new Map<string, number>();

  for (const [name, folder] of Object.entries(folders).sort(([a], [b]) => compareBytes(a, b))) {
    checkName(name);
    for await (const entry of walkTree(await sourceFolder(name, folder), name)) {
      signal?.throwIfAborted();
      const { path } = entry;
      const mode = keptMode(entry, warnings);
      const staged = join(sealedFolder, path);
      if (entry.kind === 'folder') {
        await mkdir(staged, { mode: 0o700 });
        folderModes.set(path, mode);
        all.push(folderLine(path, mode));
        if (opened.opens(`${path}/`)) plain.addFolder(path, folderModes);
        continue;
      }
      const isOpened = opened.opens(path);
      const maybe = editable.has(path) ? 'editable' : isOpened ? 'opened' : mayBePublic(entry) && 'public';
      // What is sealed in any case need not be searched for keys: it may be gigabytes.
      const scanner = maybe ? new PrivateKeyScanner() : undefined;
      const line = fileLine(path, mode, await stageFile(entry, staged, { scanner, signal }));
      all.push(line);
      const isPrivate = scanner?.found || hasPrivateName(basename(path));
      if (isPrivate && maybe === 'editable')
        throw cannotEdit(path, 'it holds a private key, which never lies on a plain drive');
      if (isPrivate && isOpened)
        warnings.push(`${path} stays sealed, though user_config_plain opens it: it holds a private key`);
      const isPlain = maybe === 'public' ? isPublicFile(path, await readFile(staged)) : maybe !== false;
      if (isPlain && !isPrivate) {
        plain.addFile(entry, maybe === 'editable' ? editableLine(path) : line, folderModes);
        await moveStaged(staged, join(plainFolder, path), mode);
      } else {
        await chmod(staged, mode);
        sealedFiles.push(path);
        sealedBytes += entry.size;
      }
    }
  }

  checkEditable(editable, plain, folderModes, warnings);
  await setFolderModes(plainFolder, sealedFolder, plain, folderModes);
  return {
    plainFolder,
    sealedFolder,
    plainFiles: plain.files.sort(compareBytes),
    sealedFiles: sealedFiles.sort(compareBytes),
    sealedBytes,
    sealedList: plain.list(),
    digest: digestOfLines(all),
    warnings: [...warnings, ...opened.warnings(Object.keys(folders))],
  };
}

/** Whether a file is public by its name; its content is still to be judged. */
const mayBePublic = ({ path, size }: TreeEntry) => hasPublicName(path) && size <= largestPublicFile;

/** What of the kit goes onto the plain drive, within what the guest has RAM for. */
class PlainPart {
  readonly files: string[] = [];
  readonly folders = new Set<string>();
  readonly #lines: string[] = [];
  readonly #limits: { bytes: number; entries: number };
  #bytes = 0;

  constructor(limits: { bytes: number; entries: number }) {
    this.#limits = limits;
  }

  addFile({ path, size }: TreeEntry, line: string, modes: ReadonlyMap<string, number>): void {
    this.addFolder(path.slice(0, path.lastIndexOf('/')), modes);
    this.files.push(path);
    this.#add(path, line, size);
  }

  /** A folder, and those that lead to it. */
  addFolder(path: string, modes: ReadonlyMap<string, number>): void {
    if (this.folders.has(path)) return;
    const end = path.lastIndexOf('/');
    if (end !== -1) this.addFolder(path.slice(0, end), modes);
    this.folders.add(path);
    this.#add(path, folderLine(path, modes.get(path)!), 0);
  }

  /** The sealed list. */
  list(): string {
    return this.#lines
      .sort(compareBytes)
      .map((line) => `${line}\n`)
      .join('');
  }

  #add(path: string, line: string, size: number): void {
    this.#lines.push(line);
    this.#bytes += Math.max(1, Math.ceil(size / 4096)) * 4096;
    const { bytes, entries } = this.#limits;
    if (this.#lines.length <= entries && this.#bytes <= bytes) return;
    throw new UserError(
      `cannot use user_config: with ${path} the part that the host may read holds more than ${entries} files and folders or ${bytes / 2 ** 20} MiB`,
      {
        hint: 'it is copied into memory at every start; open less with user_config_plain: what is sealed takes room on the root drive alone',
      },
    );
  }
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

const cannotEdit = (path: string, cause: string) => new UserError(`cannot make ${path} editable: ${cause}`);

function checkEditable(
  editable: ReadonlySet<string>,
  { files }: PlainPart,
  folders: ReadonlyMap<string, number>,
  warnings: string[],
): void {
  for (const path of editable) {
    if (!files.includes(path))
      throw cannotEdit(path, folders.has(path) ? 'it is a folder' : 'there is no such file in user_config');
    const code = leadsToCode.test(path)
      ? '; the workload takes code from it, so the host can run any code as the workload'
      : '';
    warnings.push(`${path} is editable: whoever runs the host can put anything into it unnoticed${code}`);
  }
}

/** Modes of folders come last, deepest first, because one without write permission could not be filled. */
async function setFolderModes(
  plainFolder: string,
  sealedFolder: string,
  plain: PlainPart,
  modes: ReadonlyMap<string, number>,
): Promise<void> {
  for (const path of plain.folders) await mkdir(join(plainFolder, path), { recursive: true, mode: 0o700 });
  for (const [path, mode] of [...modes].toReversed()) {
    if (plain.folders.has(path)) await chmod(join(plainFolder, path), mode);
    await chmod(join(sealedFolder, path), mode);
  }
}
