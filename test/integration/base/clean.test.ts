import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';
import { firstDifference } from '../../support/tree-difference.ts';

const script = templatePath('base/clean.sh');
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clean-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const clean = (root: string, ...more: string[]) =>
  execFileSync(script, [root, ...more], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

async function put(root: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
}

/** What packages bring: the same in every installation. */
const content = {
  'usr/bin/tool': '#!/bin/sh\n',
  'usr/lib/python3/module.py': 'x = 1\n',
  'etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
  'etc/ld.so.cache': 'cache of the loader, content',
  'etc/ssh/sshd_config': 'Port 22\n',
  'var/lib/dpkg/status': 'Package: tool\n',
};

/** What an installation adds, with `mark` for all that is its own. */
const traces = (mark: string): Record<string, string> => ({
  'etc/machine-id': `${mark}\n`,
  'etc/hostname': mark,
  'etc/resolv.conf': mark,
  'etc/ssh/ssh_host_ed25519_key': mark,
  'etc/shadow': `root:*:${mark.length}:0:99999:7:::\ndaemon:!::0:99999:7:::\n`,
  'etc/shadow-': mark,
  'etc/passwd-': mark,
  'var/lib/systemd/random-seed': mark,
  'var/lib/systemd/catalog/database': mark,
  'var/lib/dbus/machine-id': mark,
  'var/lib/dpkg/status-old': mark,
  [`var/log/journal/${mark}/system.journal`]: mark,
  'var/log/dpkg.log': mark,
  'var/cache/ldconfig/aux-cache': mark,
  'var/cache/apt/archives/tool.deb': mark,
  'var/cache/fontconfig/index': mark,
  'var/lib/apt/lists/mirror_Packages': mark,
  'var/tmp/left': mark,
  'run/daemon.pid': mark,
  'usr/lib/python3/__pycache__/module.pyc': mark,
  'root/.bash_history': mark,
});

describe('clean.sh', () => {
  it('leaves two installations of the same packages equal', async () => {
    const roots = ['monday', 'wednesday'].map((mark) => ({ mark, root: join(folder, mark) }));
    for (const { mark, root } of roots) {
      await put(root, { ...content, ...traces(mark) });
      clean(root);
    }
    const [a, b] = roots.map(({ root }) => root) as [string, string];
    expect(await firstDifference(a, b)).toBeUndefined();
    for (const [name, text] of Object.entries(content))
      expect(await readFile(join(a, name), 'utf8')).toBe(text);
  });

  it('leaves nothing of the installation, and an empty machine-id', async () => {
    await put(folder, { ...content, ...traces('monday') });
    clean(folder);
    expect(execFileSync('find', [folder, '-name', '*monday*'], { encoding: 'utf8' })).toBe('');
    expect(() => execFileSync('grep', ['-r', 'monday', folder])).toThrow();
    expect(await readFile(join(folder, 'etc/machine-id'), 'utf8')).toBe('');
  });

  it('takes the days of password changes out of shadow, and nothing else', async () => {
    await put(folder, { ...content, 'etc/shadow': 'root:$y$hash:19700:0:99999:7:::\nx:!:19701::::::\n' });
    clean(folder);
    expect(await readFile(join(folder, 'etc/shadow'), 'utf8')).toBe(
      'root:$y$hash::0:99999:7:::\nx:!:::::::\n',
    );
  });

  it('changes nothing when it runs again', async () => {
    await put(folder, { 'a/usr/x': '', 'b/usr/x': '' });
    for (const name of ['a', 'b']) {
      await put(join(folder, name), { ...content, ...traces('monday') });
      clean(join(folder, name));
    }
    clean(join(folder, 'a'));
    expect(await firstDifference(join(folder, 'a'), join(folder, 'b'))).toBeUndefined();
  });

  it('empties folders that it is told to', async () => {
    await put(folder, { ...content, 'tmp/a/b': '', 'srv/c': '' });
    clean(folder, 'tmp');
    expect(execFileSync('ls', ['-A', join(folder, 'tmp')], { encoding: 'utf8' })).toBe('');
    expect((await lstat(join(folder, 'srv/c'))).isFile()).toBe(true);
  });

  it('follows no symbolic link out of the tree', async () => {
    const outside = join(folder, 'outside');
    const mine = {
      'machine-id': 'mine',
      shadow: 'root:*:1:::::: \n',
      'log/a': 'mine',
      'seed/random-seed': 'mine',
    };
    await put(outside, mine);
    const root = join(folder, 'root');
    await put(root, { 'usr/bin/tool': '', 'etc/x': '', 'var/lib/x': '' });
    await symlink(join(outside, 'machine-id'), join(root, 'etc/machine-id'));
    await symlink(join(outside, 'shadow'), join(root, 'etc/shadow'));
    await symlink(join(outside, 'log'), join(root, 'var/log'));
    await symlink(join(outside, 'log'), join(root, 'run'));
    await symlink(join(outside, 'seed'), join(root, 'var/lib/systemd'));
    clean(root);
    for (const [name, text] of Object.entries(mine))
      expect(await readFile(join(outside, name), 'utf8')).toBe(text);

    const linked = join(folder, 'linked');
    await put(linked, { 'usr/bin/tool': '' });
    await symlink(outside, join(linked, 'etc'));
    clean(linked);
    expect(await readFile(join(outside, 'machine-id'), 'utf8')).toBe('mine');
    expect(await readFile(join(outside, 'shadow'), 'utf8')).toBe(mine.shadow);
  });

  it('refuses the running system, and what is none', () => {
    expect(() => clean('/')).toThrow('not on the running system');
    expect(() => clean(folder)).toThrow('usage');
  });
});

describe('firstDifference', () => {
  const pair = async (a: Record<string, string>, b: Record<string, string>) => {
    await put(join(folder, 'a'), a);
    await put(join(folder, 'b'), b);
    return firstDifference(join(folder, 'a'), join(folder, 'b'));
  };

  it('names the first file whose content differs', async () => {
    expect(await pair({ 'x/b': '1', 'x/c': '1', a: '' }, { 'x/b': '2', 'x/c': '2', a: '' })).toMatch(
      /^x\/b: /,
    );
  });

  it('names a file that only one has', async () => {
    expect(await pair({ a: '', 'x/b': '' }, { a: '' })).toMatch(/^x: only in the first/);
  });

  it('sees a mode, and a time where it is asked for', async () => {
    expect(await pair({ a: '1' }, { a: '1' })).toBeUndefined();
    await utimes(join(folder, 'b/a'), 1, 1);
    const trees = [join(folder, 'a'), join(folder, 'b')] as const;
    expect(await firstDifference(...trees)).toBeUndefined();
    expect(await firstDifference(...trees, { times: true })).toMatch(/^a: .*mtime/);
    execFileSync('chmod', ['u-w', join(folder, 'a/a')]);
    expect(await firstDifference(...trees)).toMatch(/^a: .*mode/);
  });
});
