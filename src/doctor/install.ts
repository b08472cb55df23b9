import { join } from 'node:path';
import { execa } from 'execa';
import { projectRoot } from '../build/builder-file.ts';
import { spawnOptions } from '../host/run.ts';

/**
 * Installs Debian packages as the set-up does: by apt-get, as root or by `sudo -n`, never asking. What it says goes to
 * standard error.
 * @returns whether apt-get did it
 */
export async function installPackages(packages: readonly string[], signal: AbortSignal): Promise<boolean> {
  const script = join(projectRoot, 'bin/lib/install-packages');
  const { failed } = await execa(script, [...packages], {
    ...spawnOptions({ signal }),
    stdout: process.stderr,
    stderr: 'inherit',
    reject: false,
  });
  signal.throwIfAborted();
  return !failed;
}
