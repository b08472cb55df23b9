import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../host/errors.ts';

const day = 24 * 60 * 60 * 1000;

/** Drafts of this process. Another name with our pid is the leftover of an earlier process that had it. */
const ours = new Set<string>();

const draftsFolder = (root: string) => join(root, '.drafts');

/**
 * Where a pid means something: this host and its pid name space. A cache shared between containers or over
 * the network holds drafts whose pid says nothing here.
 */
function pidRealm(): string {
  const space = readlinkSync('/proc/self/ns/pid');
  return createHash('sha256').update(`${hostname()} ${space}`).digest('hex').slice(0, 12);
}

/** Makes an empty folder, mode 0700, named `<realm>-<pid>-<random>`. */
export async function newDraftFolder(root: string): Promise<string> {
  await mkdir(draftsFolder(root), { recursive: true, mode: 0o700 });
  const folder = join(draftsFolder(root), `${pidRealm()}-${process.pid}-${randomBytes(8).toString('hex')}`);
  ours.add(folder);
  await mkdir(folder, { mode: 0o700 });
  return folder;
}

/** Says that a folder of {@link newDraftFolder} is renamed or removed. */
export function releaseDraftFolder(folder: string): void {
  ours.delete(folder);
}

/** Removes drafts whose process is gone, and those older than a day. */
export async function sweepDrafts(root: string): Promise<void> {
  for (const name of await namesIn(draftsFolder(root))) {
    const folder = join(draftsFolder(root), name);
    if (ours.has(folder)) continue;
    if (ownerIsGone(name) || (await isOld(folder))) await rm(folder, { recursive: true, force: true });
  }
}

function ownerIsGone(name: string): boolean {
  const match = /^([0-9a-f]{12})-(\d+)-[0-9a-f]{16}$/.exec(name);
  if (match === null || match[1] !== pidRealm()) return false;
  const pid = Number(match[2]);
  return pid === process.pid || !isAlive(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

async function isOld(folder: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(folder)).mtimeMs > day;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}
