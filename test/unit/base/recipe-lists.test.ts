import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { listFiles, optionalLists, parseList, readLists } from '../../../src/base/recipe/lists.ts';
import { templatePath } from '../../../src/host/template.ts';

const recipe = templatePath('base');

describe('parseList', () => {
  it('takes packages in order and leaves comments out', () => {
    const text = '# who needs what\nsystemd   # all\n\n  kmod\nlibstdc++6 # a "#" within a comment\n';
    expect(parseList(text, 'core.txt', 'debian').packages).toEqual(['systemd', 'kmod', 'libstdc++6']);
  });

  it('keeps what is for the other distribution out', () => {
    const text = 'linux-image-amd64 [debian]\nlinux-image-generic [ubuntu]\nkmod\n';
    expect(parseList(text, 'core.txt', 'debian').packages).toEqual(['linux-image-amd64', 'kmod']);
    expect(parseList(text, 'core.txt', 'ubuntu').packages).toEqual(['linux-image-generic', 'kmod']);
  });

  it('takes an archive only with its keyring and over https', () => {
    const line = 'deb [signed-by=/usr/share/keyrings/own.gpg] https://packages.example.org/deb stable main';
    expect(parseList(line, 'gpu.txt', 'ubuntu').archives).toEqual([
      { line, keyring: '/usr/share/keyrings/own.gpg' },
    ]);
    for (const wrong of [
      'deb https://packages.example.org/deb stable main',
      'deb [trusted=yes] https://packages.example.org/deb stable main',
      'deb [signed-by=/a.gpg trusted=yes] https://packages.example.org/deb stable main',
      'deb [signed-by=/a.gpg] http://packages.example.org/deb stable main',
    ]) {
      expect(() => parseList(wrong, 'gpu.txt', 'ubuntu')).toThrow(
        'gpu.txt:1: neither a package nor an archive',
      );
    }
  });

  it.each([
    '--allow-unauthenticated',
    'kmod,curl',
    'kmod curl',
    'kmod [fedora]',
    '?essential',
    './kmod.deb',
  ])('refuses %j, which is no package', (line) =>
    expect(() => parseList(`kmod\n${line}\n`, 'core.txt', 'debian')).toThrow('core.txt:2'));
});

describe('the lists of the recipe', () => {
  it('are core and the optional ones, and no others', async () => {
    const texts = (await readdir(recipe)).filter((name) => name.endsWith('.txt'));
    expect(texts.sort()).toEqual([...listFiles(optionalLists), 'modules.txt'].sort());
  });

  it.each([
    'debian',
    'ubuntu',
  ] as const)('name one kernel for %s, and what a boot needs', async (distribution) => {
    const { packages } = await readLists(recipe, [], distribution);
    expect(packages.filter((name) => name.startsWith('linux-image'))).toHaveLength(1);
    expect(packages).toEqual(expect.arrayContaining(['systemd', 'cryptsetup-bin', 'nftables', 'crun']));
    expect(packages).not.toContain('nfs-common');
  });

  it('add a share’s programs, and a GPU’s driver only where it is asked for', async () => {
    expect((await readLists(recipe, ['nfs'], 'debian')).packages).toContain('nfs-common');
    const { packages, archives } = await readLists(recipe, ['gpu', 'nfs'], 'ubuntu');
    expect(packages.some((name) => name.startsWith('linux-modules-nvidia'))).toBe(true);
    expect(archives).toHaveLength(1);
  });

  it('have no GPU driver for Debian, and say where the reason stands', async () => {
    await expect(readLists(recipe, ['gpu'], 'debian')).rejects.toMatchObject({
      name: 'UserError',
      message: 'cannot build the base: the gpu packages are not to be had for debian',
      hint: expect.stringContaining('templates/base/gpu.txt'),
    });
  });
});
