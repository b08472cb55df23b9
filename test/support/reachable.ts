import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const repository = join(import.meta.dirname, '../..');
let made: string | undefined;

/**
 * A checkout that every account can read: this one, or a copy where it lies in somebody's private folder (a clone below
 * /root, say). Gone with the process.
 */
export function reachableCheckout(): string {
  if (isReachable(repository)) return repository;
  made ??= copy();
  return made;
}

function isReachable(path: string): boolean {
  if ((statSync(path).mode & 0o005) !== 0o005) return false;
  return dirname(path) === path || isReachable(dirname(path));
}

function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'checkout-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const target = join(folder, 'cvm');
  mkdirSync(target, { mode: 0o755 });
  const names = [
    'bin',
    'src',
    'templates',
    'node_modules',
    'package.json',
    'package-lock.json',
    'cvm_build.sh',
  ];
  for (const name of names) {
    const paths = [join(repository, name), join(target, name)];
    // Hard links where both lie on one file system.
    execFileSync('sh', [
      '-c',
      'cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }',
      'sh',
      ...paths,
    ]);
  }
  return target;
}
