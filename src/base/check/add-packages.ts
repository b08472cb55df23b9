import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UserError } from '../../host/errors.ts';
import { signaturesRequired } from '../apt.ts';
import type { PrivateCopy } from './private-copy.ts';

export interface AddPackagesOptions {
  /** Folder with enter.sh, complete.sh, finish.sh and what that calls. */
  recipe: string;
  packages: readonly string[];
  signal?: AbortSignal | undefined;
}

/** What a status of complete.sh says, and what to do. */
const failures: Record<number, { cause: string; hint: string }> = {
  10: {
    cause: 'its apt sources cannot be read',
    hint: "this step needs a network, and the archives of the image's own /etc/apt/sources.list*",
  },
  11: {
    cause: 'a package cannot be installed from its apt sources',
    hint: "the image's /etc/apt/sources.list* must have the archive's main component, on Ubuntu also universe",
  },
  12: {
    cause: 'it cannot be cleaned up',
    hint: 'does it hold a kernel with all modules of templates/base/modules.txt?',
  },
};

/**
 * Adds packages to a private copy of a base, by its own apt, and cleans it as every base is cleaned.
 * @throws UserError with apt's last words.
 */
export async function addPackages(
  copy: PrivateCopy,
  { recipe, packages, signal }: AddPackagesOptions,
): Promise<void> {
  const text = (name: string) => readFile(join(recipe, name), 'utf8');
  const aptOptions = [
    ...signaturesRequired.map(([name, value]) => `${name}=${value}`),
    'Acquire::Retries=3',
    // Without it, an archive that cannot be reached is a warning.
    'APT::Update::Error-Mode=any',
  ];
  const env = {
    PACKAGES: packages.join(' '),
    APT_OPTIONS: aptOptions.map((option) => `-o ${option}`).join(' '),
    FINISH: await text('finish.sh'),
    TRIM_MODULES: await text('trim-modules.sh'),
    CLEAN: await text('clean.sh'),
    MODULES: await text('modules.txt'),
    RESOLV_CONF: await readFile('/etc/resolv.conf', 'utf8').catch(() => ''),
  };
  try {
    await copy.runInside(await text('enter.sh'), await text('complete.sh'), { env, signal });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    const { exitCode, all } = error as { exitCode?: number; all?: unknown };
    const failure = failures[exitCode ?? 0];
    const words = typeof all === 'string' ? all.trim().split('\n') : [];
    throw new UserError(
      `cannot complete the base: ${failure?.cause ?? (words.length > 0 ? 'its private copy cannot be entered' : messageOf(error))}`,
      {
        details: telling(words),
        cause: error,
        ...(failure === undefined ? {} : { hint: failure.hint }),
      },
    );
  }
}

/** Lines of apt that name a fault; else the last ones. */
function telling(lines: readonly string[]): string[] {
  const faults = lines.filter((line) => /^(?:E|W|Err|dpkg|cannot|mount|pivot_root)\b/.test(line));
  return (faults.length > 0 ? faults : lines).slice(-8);
}
