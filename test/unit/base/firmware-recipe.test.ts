import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageNames } from '../../../src/base/firmware/build.ts';
import { recipeFolder } from '../../../src/base/firmware/place.ts';
import { versionOf } from '../../../src/base/firmware/source.ts';

const hash = 'SHA256:e2a7f6fc58640818416a028d6d5e9dfc255697a7cdc60c14566c236df6bd9b08';
const uris = (name: string, sum = hash) =>
  [
    "NOTICE: 'edk2' packaging is maintained in the 'Git' version control system at:",
    `'http://deb.example.org/e/edk2_2025.02.orig.tar.xz' edk2_2025.02.orig.tar.xz 29646336 ${hash}`,
    `'http://deb.example.org/e/edk2_2025.02-8%2bdeb13u1.debian.tar.xz' ${name} 53652 ${sum}`,
    '',
  ].join('\n');

describe('the version of the source', () => {
  it('is that of the Debian archive', () => {
    expect(versionOf(uris('edk2_2025.02-8+deb13u1.debian.tar.xz'))).toBe('2025.02-8+deb13u1');
  });

  it.each([
    ['nothing', ''],
    ['another package', uris('edk3_1-1.debian.tar.xz')],
    ['a weaker digest', uris('edk2_1-1.debian.tar.xz', `MD5Sum:${'0'.repeat(32)}`)],
  ])('is refused where apt lists %s', (_name, text) => {
    expect(() => versionOf(text)).toThrow('cannot fetch the source of the firmware');
  });
});

it('lists of packages may hold comments', () => {
  expect(packageNames('# tools\n\ngcc  # C\nnasm\n')).toEqual(['gcc', 'nasm']);
});

describe('templates/firmware', () => {
  const patches = readdirSync(recipeFolder()).filter((name) => name.endsWith('.patch'));

  it('has patches', () => expect(patches.length).toBeGreaterThan(0));

  it.each(patches)('%s says first what it is for, and has UNIX line ends', (name) => {
    const text = readFileSync(join(recipeFolder(), name), 'utf8');
    const [title = '', blank, about = ''] = text.split('\n');
    expect(title).toMatch(/^[A-Z].*[^.]$/);
    expect(blank).toBe('');
    expect(about).toMatch(/^[A-Z]/);
    expect(text).not.toContain('\r');
  });
});
