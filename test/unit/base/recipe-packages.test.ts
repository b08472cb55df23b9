import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newestBuild, parseUris } from '../../../src/base/recipe/packages.ts';

const sha256 = 'ab'.repeat(32);

describe('parseUris', () => {
  it('reads what apt-get --print-uris says, and nothing else', () => {
    const text = [
      'Reading package lists...',
      `'http://deb.example.org/pool/a/adduser_3.134_all.deb' adduser_3.134_all.deb 118528 SHA256:${sha256}`,
      `'http://deb.example.org/pool/d/dmsetup.deb' dmsetup_2%3a1.02_amd64.deb 83912 SHA256:${sha256}`,
    ].join('\n');
    expect(parseUris(text)).toEqual([
      { name: 'adduser_3.134_all.deb', bytes: 118528, sha256 },
      { name: 'dmsetup_2%3a1.02_amd64.deb', bytes: 83912, sha256 },
    ]);
  });

  it('takes no line without a SHA-256, and no name that leaves its folder', () => {
    const weak = `'http://a/b.deb' b.deb 1 MD5Sum:${'ab'.repeat(16)}`;
    const outside = `'http://a/b.deb' ../b.deb 1 SHA256:${sha256}`;
    expect(parseUris(`${weak}\n${outside}\n`)).toEqual([]);
  });
});

describe('newestBuild', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'packages-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const deb = async (name: string, time: number) => {
    const header = `!<arch>\n${'debian-binary'.padEnd(16)}${String(time).padEnd(12)}${'0     0     100644  4         '}\`\n2.0\n`;
    await writeFile(join(folder, name), header);
    return { name, bytes: header.length, sha256 };
  };

  it('is the newest time in the packages, whenever the files were fetched', async () => {
    const files = [
      await deb('a.deb', 1_700_000_000),
      await deb('b.deb', 1_710_000_000),
      await deb('c.deb', 1),
    ];
    expect(await newestBuild(folder, files)).toBe(1_710_000_000);
  });

  it('refuses what is no package', async () => {
    await writeFile(join(folder, 'x.deb'), 'an error page');
    await expect(newestBuild(folder, [{ name: 'x.deb', bytes: 13, sha256 }])).rejects.toThrow(
      'no Debian package',
    );
  });
});
