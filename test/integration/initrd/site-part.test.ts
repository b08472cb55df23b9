import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { moduleList, sitePart } from '../../../src/initrd/index.ts';
import { settingsFile } from '../../../src/initrd/site-part.ts';
import { initSettings } from '../../unit/initrd/init-settings.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'site-part-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const shells = [
  ['sh', []],
  ['busybox', ['sh']],
] as const;

describe('settingsFile, read by a shell', () => {
  const values = [
    'plain',
    '',
    "it's; 'quoted'",
    '"double" and `backticks`',
    '$(touch never) $HOME $1',
    'two\nlines\n and a tab\t',
    'back\\slash\\',
    '*?[a] ~ # & | < > !',
    'ü 日本 😀',
  ];

  it.each(shells)('gives every value back as it was, in %s %j', async (shell, more) => {
    for (const value of values) {
      const file = join(folder, 'settings');
      await writeFile(file, settingsFile({ ...initSettings(), cvm_name: value }));
      const script = '. "$1"; printf "%s." "$cvm_name"; printf "%s" "$kbs_attempts"';
      const out = execFileSync(shell, [...more, '-c', script, 'sh', file], { cwd: folder, encoding: 'utf8' });
      expect(out).toBe(`${value}.3`);
    }
    expect(await readdir(folder)).toEqual(['settings']);
  });
});

describe('sitePart', () => {
  const part = async (work: string) => {
    const header = join(folder, 'header');
    await writeFile(header, Buffer.alloc(8192, 7), { mode: 0o600 });
    await mkdir(join(folder, work));
    const file = join(folder, `${work}.zst`);
    await sitePart(
      {
        settings: initSettings(),
        layout: 'base 0 16\n',
        firewall: 'flush ruleset\n',
        hosts: '127.0.0.1 localhost\n',
        modules: await moduleList(),
        kbsCa: 'PEM\n',
        luksHeader: header,
      },
      { file, workDirectory: join(folder, work) },
    );
    return file;
  };
  const unpack = (file: string) => {
    const tree = join(folder, 'tree');
    execFileSync('sh', ['-c', 'mkdir "$2" && cd "$2" && zstd -dc "$1" | cpio -i --quiet', 'sh', file, tree]);
    return tree;
  };

  it('holds the files of /etc/cvm and nothing else', async () => {
    const tree = unpack(await part('work'));
    expect((await readdir(tree, { recursive: true })).sort()).toEqual([
      ...['etc', 'etc/cvm'],
      ...['firewall.nft', 'hosts', 'kbs-ca.pem', 'layout', 'luks-header', 'modules', 'settings'].map(
        (name) => `etc/cvm/${name}`,
      ),
    ]);
    const text = (name: string) => readFile(join(tree, 'etc/cvm', name), 'utf8');
    expect(await text('settings')).toBe(settingsFile(initSettings()));
    expect(await text('layout')).toBe('base 0 16\n');
    expect(await text('firewall.nft')).toBe('flush ruleset\n');
    expect(await text('hosts')).toBe('127.0.0.1 localhost\n');
    expect(await text('kbs-ca.pem')).toBe('PEM\n');
    expect((await readFile(join(tree, 'etc/cvm/luks-header'))).equals(Buffer.alloc(8192, 7))).toBe(true);
  });

  it('names the modules in the order of loading, one a line, virtio_pci first', async () => {
    const lines = (await moduleList()).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines[0]).toBe('virtio_pci');
    for (const line of lines) expect(line).toMatch(/^[a-z0-9_]+$/);
    expect(lines).toEqual(expect.arrayContaining(['dm_crypt', 'dm_verity', 'sev_guest', 'nf_tables']));
  });

  it('is the same bytes for the same site', async () => {
    expect((await readFile(await part('one'))).equals(await readFile(await part('two')))).toBe(true);
  });
});
