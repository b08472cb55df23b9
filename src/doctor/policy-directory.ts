import { access, constants, lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { developmentState, policyPlace } from '../build/policy-place.ts';
import { UserError } from '../host/errors.ts';
import { nearestExisting, whyNotWritable } from '../host/folders.ts';
import { start } from '../host/run.ts';
import { locateTool } from '../host/tools.ts';
import { readRegistry, registryPath } from '../kbs/index.ts';
import type { Check, Outcome } from './check.ts';

/** The directory of production images. */
export const policyDirectoryCheck: Check = {
  id: 'settings.policy-directory',
  title: 'policy directory',
  run: async ({ situation, signal }) => {
    const { directory } = policyPlace('production', situation, join(situation.outputFolder, 'handoff'));
    return judgeDirectory(directory, situation.builder.kbs.url !== undefined, signal);
  },
};

/** The directory of development images. */
export const developmentStateCheck: Check = {
  id: 'settings.development-state',
  title: 'development state',
  run: async ({ situation, signal }) =>
    judgeDirectory(developmentState(), situation.builder.kbs.url === undefined, signal),
};

/** @param needed whether it is the directory that builds of this machine use */
async function judgeDirectory(directory: string, needed: boolean, signal: AbortSignal): Promise<Outcome> {
  try {
    const outcome = await lookInto(directory, signal);
    return needed || outcome.status !== 'problem' ? outcome : { ...outcome, status: 'warning' };
  } catch (error) {
    if (needed || !(error instanceof UserError)) throw error;
    const { message, hint } = error;
    return { status: 'warning', says: message, ...(hint === undefined ? {} : { hint }) };
  }
}

async function lookInto(directory: string, signal: AbortSignal): Promise<Outcome> {
  const facts = { path: directory };
  const existing = await nearestExisting(directory);
  const refused = await whyNotWritable(existing);
  const instead = 'set policy_directory in builder.yml, or correct owner and mode';
  if (refused !== undefined) {
    const where = existing === directory ? '' : `cannot be made in ${existing}: `;
    return { status: 'problem', says: `${directory}: ${where}${refused}`, hint: instead, facts };
  }
  if (existing !== directory) {
    return {
      status: 'ok',
      says: `${directory}: the first build makes it`,
      facts: { ...facts, exists: false },
    };
  }
  for (const file of [registryPath(directory), join(directory, 'policy.rego')]) {
    if ((await lstat(file).catch(() => undefined))?.isSymbolicLink()) {
      const hint = 'put the file itself there';
      return { status: 'problem', says: `${file} is a symbolic link, which no build replaces`, hint, facts };
    }
  }
  const images = (await readRegistry(directory))?.images ?? [];
  const active = images.filter(({ status }) => status === 'active').length;
  const known = { ...facts, exists: true, images: images.length, active };
  const counted = `${directory}: ${images.length} ${images.length === 1 ? 'image' : 'images'}, ${active} active`;
  const lock = await lockFault(join(directory, '.cvm-registry.lock'), signal);
  if (lock !== undefined) return { ...lock, says: `${directory}: ${lock.says}`, facts: known };
  const open = await openToOthers(directory);
  if (open !== undefined) {
    const says = `${counted}; every account of this machine may change ${open}: whoever does decides who gets the keys`;
    return { status: 'warning', says, hint: `chmod o-w ${open}`, facts: known };
  }
  return { status: 'ok', says: counted, facts: known };
}

/** What keeps a build from taking the lock now. A lock that nobody has made yet is not made for a look at it. */
async function lockFault(
  file: string,
  signal: AbortSignal,
): Promise<{ status: 'warning' | 'problem'; says: string; hint: string } | undefined> {
  if ((await lstat(file).catch(() => undefined)) === undefined) return undefined;
  try {
    await access(file, constants.R_OK);
  } catch {
    const says = 'this account may not use its lock';
    return { status: 'problem', says, hint: `let ${file} be readable by all who build` };
  }
  if (locateTool('flock') === undefined) return undefined;
  // Builds wait for the lock: to hold it for a moment harms nobody.
  const args = ['--exclusive', '--nonblock', '--conflict-exit-code', '75', file, 'true'];
  const { exitCode, stderr } = await start('flock', args, { signal }, { reject: false });
  signal.throwIfAborted();
  if (exitCode === 0) return undefined;
  const hint = `fuser -v ${file} shows by whom`;
  if (exitCode === 75) return { status: 'warning', says: 'it is locked at this moment', hint };
  return { status: 'problem', says: `its lock cannot be taken: ${String(stderr).trim()}`, hint };
}

/** The first of a directory and its files that every account may write. */
async function openToOthers(directory: string): Promise<string | undefined> {
  for (const path of [directory, registryPath(directory), join(directory, 'policy.rego')]) {
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && (info.mode & 0o002) !== 0) return path;
  }
  return undefined;
}
