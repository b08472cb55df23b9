import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { freeBytes, isFolder, nearestExisting, whyNotWritable } from '../host/folders.ts';
import { bytesText } from '../report/text.ts';
import type { Check, CheckGroup, Outcome } from './check.ts';

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;

/**
 * What a build writes, in bytes, without the workload; measured with the default base. `least`: less cannot do. `good`: less
 * may be too little for a workload of some size.
 */
const needs = {
  /** A base takes 0.1 GiB there; the layers of a workload come on top. */
  cacheWithBase: { least: 512 * mebibyte, good: 3 * gibibyte },
  cache: { least: 256 * mebibyte, good: 2 * gibibyte },
  /** mmdebstrap unpacks the system with its packages: 0.9 GiB. */
  unpacking: { least: 1 * gibibyte, good: 1.5 * gibibyte },
  /** Base, site layer and workload, sealed; in memory only where twice that is free. */
  work: { least: 256 * mebibyte, good: 1 * gibibyte },
  /** A bundle, as a folder and as .tgz: 0.25 GiB, and the workload twice. */
  output: { least: 512 * mebibyte, good: 4 * gibibyte },
};

/** What the free space is good for. */
export function judgeSpace(
  free: number,
  { least, good }: { least: number; good: number },
): Pick<Outcome, 'status' | 'says'> {
  const have = `${bytesText(free)} free`;
  if (free < least) return { status: 'problem', says: `${have}: a build needs ${bytesText(least)} at least` };
  if (free < good) return { status: 'warning', says: `${have}: too little for a large workload` };
  return { status: 'ok', says: have };
}

/** The same for a folder, which need not exist yet, with its path in front. */
async function judgeFolder(
  folder: string,
  need: { least: number; good: number },
  instead: string,
): Promise<Outcome> {
  const existing = await nearestExisting(folder);
  const refused = await whyNotWritable(existing);
  const facts = { path: folder, exists: existing === folder };
  if (refused !== undefined) {
    const says =
      existing === folder ? `${folder}: ${refused}` : `${folder} cannot be made in ${existing}: ${refused}`;
    return { status: 'problem', says, hint: instead, facts };
  }
  const free = await freeBytes(existing);
  const { status, says } = judgeSpace(free, need);
  return {
    status,
    says: `${folder}: ${says}`,
    ...(status === 'ok' ? {} : { hint: `free some space there, or ${instead}` }),
    facts: { ...facts, freeBytes: free },
  };
}

const cache: Check = {
  id: 'folders.cache',
  title: 'cache',
  run: async ({ situation }) => {
    const { cacheRoot } = situation;
    const instead = 'set cache in builder.yml, or XDG_CACHE_HOME, to a folder of your own';
    const info = await stat(cacheRoot).catch(() => undefined);
    // As the cache itself checks: what lies in it becomes part of sealed images.
    const fault =
      info === undefined || !info.isDirectory()
        ? undefined
        : info.uid !== process.getuid?.()
          ? `it belongs to another account (uid ${info.uid})`
          : (info.mode & 0o022) !== 0
            ? 'other accounts may write to it'
            : undefined;
    if (fault !== undefined) {
      return { status: 'problem', says: `${cacheRoot}: ${fault}`, hint: instead, facts: { path: cacheRoot } };
    }
    const willBuild = (await situation.stepsAhead()).has('base');
    return judgeFolder(cacheRoot, willBuild ? needs.cacheWithBase : needs.cache, instead);
  },
};

const output: Check = {
  id: 'folders.output',
  title: 'output',
  run: ({ situation }) =>
    judgeFolder(situation.outputFolder, needs.output, 'set output in builder.yml to another folder'),
};

const memory: Check = {
  id: 'folders.memory',
  title: 'work in memory',
  run: async () => {
    const folder = '/dev/shm';
    const onDisk = `plaintext and keys of a build lie in ${tmpdir()} while it runs`;
    const refused = (await isFolder(folder)) ? await whyNotWritable(folder) : 'there is no such folder';
    if (refused !== undefined) {
      const hint = 'mount a tmpfs at /dev/shm, or let TMPDIR name a folder on one';
      return { status: 'warning', says: `${folder}: ${refused}; ${onDisk}`, hint };
    }
    const free = Math.min(await freeBytes(folder), process.availableMemory());
    const facts = { path: folder, freeBytes: free };
    if (free >= needs.work.good) return { status: 'ok', says: `${folder}: ${bytesText(free)} free`, facts };
    const says = `${folder}: ${bytesText(free)} free; ${onDisk} where that is too little`;
    return { status: 'info', says, facts };
  },
};

const temporary: Check = {
  id: 'folders.temporary',
  title: 'work on disk',
  run: async ({ situation }) => {
    const folder = tmpdir();
    const willBuild = (await situation.stepsAhead()).has('base');
    const instead = 'set TMPDIR to another folder';
    if (willBuild) {
      const options = mountOptions(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''), folder);
      const [refused] = ['noexec', 'nodev'].filter((option) => options.includes(option));
      if (refused !== undefined) {
        const says = `${folder} is mounted ${refused}: mmdebstrap cannot unpack a system there`;
        return { status: 'problem', says, hint: instead, facts: { path: folder } };
      }
    }
    return judgeFolder(folder, willBuild ? needs.unpacking : needs.work, instead);
  },
};

/**
 * Options of the mount that a folder lies on.
 * @param mountinfo text of proc_pid_mountinfo(5): field 5 is the mount point, field 6 its options
 */
export function mountOptions(mountinfo: string, folder: string): readonly string[] {
  let longest = '';
  let options: string[] = [];
  for (const line of mountinfo.split('\n')) {
    const [, , , , escaped = '', own = ''] = line.split(' ');
    const point = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const holds = point === '/' || folder === point || folder.startsWith(`${point}/`);
    // Of two mounts at one place the later one counts.
    if (point === '' || !holds || point.length < longest.length) continue;
    longest = point;
    options = own.split(',');
  }
  return options;
}

/** Where a build writes, and whether there is room. */
export const folderChecks: CheckGroup = {
  id: 'folders',
  title: 'Folders',
  checks: [cache, memory, temporary, output],
};
