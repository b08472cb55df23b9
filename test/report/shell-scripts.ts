/** Finds the repository's shell scripts and holds them against shellcheck; as a program, it does so with all of them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const shebang = /^#!\s*\S*\/(?:env\s+|busybox\s+)?(?:ba|da|a)?sh\b/;

function firstBytes(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(64);
    return bytes.toString('latin1', 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}

/** Paths, relative to the repository, of files that are named `.sh` or begin as a shell script does. */
export function shellScripts(): string[] {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = execFileSync('git', ['-C', root, ...list], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  return [...new Set(files.split('\0'))]
    .filter((name) => name !== '' && !name.startsWith('test/fixtures/') && existsSync(join(root, name)))
    .filter((name) => name.endsWith('.sh') || shebang.test(firstBytes(join(root, name))))
    .sort();
}

/**
 * What shellcheck says about a script; nothing where it is content. A fragment that others source (no `#!` line) gets
 * its variables from them and sets some for them, so those two checks are not for it.
 */
export function shellcheck(name: string): string {
  const isFragment = !shebang.test(firstBytes(join(root, name)));
  const options = ['--external-sources', ...(isFragment ? ['--exclude=SC2034,SC2154'] : [])];
  const { stdout, stderr, status, error } = spawnSync('shellcheck', [...options, '--', name], {
    cwd: root,
    encoding: 'utf8',
  });
  if (error !== undefined) return error.message;
  return status === 0 ? '' : `${stdout}${stderr}`;
}

if (import.meta.main) {
  const said = shellScripts().map(shellcheck).join('');
  process.stdout.write(said);
  process.exitCode = said === '' ? 0 : 1;
}
