import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtBaseKey } from '../../../src/base/recipe/build.ts';
import { ofSuite, suiteSources } from '../../../src/base/recipe/sources.ts';
import { knownSuites } from '../../../src/base/recipe/suites.ts';
import { templatePath } from '../../../src/host/template.ts';

let keyrings: string;
beforeEach(async () => {
  keyrings = await mkdtemp(join(tmpdir(), 'sources-test-'));
  await writeFile(join(keyrings, 'debian-archive-keyring.gpg'), '');
});
afterEach(() => rm(keyrings, { recursive: true }));

describe('suiteSources with a mirror', () => {
  const mirror = 'http://mirror.example.org/debian';

  it('has the suite, its updates and its security updates, all bound to the distribution’s keyring', async () => {
    const { distribution, sources } = await suiteSources({ suite: 'trixie', mirror }, keyrings, { keyrings });
    expect(distribution).toBe('debian');
    expect(sources.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      `${mirror} trixie`,
      `${mirror} trixie-updates`,
      'http://deb.debian.org/debian-security trixie-security',
    ]);
    expect(new Set(sources.map(({ keyring }) => keyring))).toEqual(
      new Set([join(keyrings, 'debian-archive-keyring.gpg')]),
    );
  });

  it('takes the security updates from their own mirror', async () => {
    const securityMirror = 'http://mirror.example.org/debian-security';
    const { sources } = await suiteSources({ suite: 'bookworm', mirror, securityMirror }, keyrings, {
      keyrings,
    });
    expect(sources.at(-1)).toMatchObject({ uri: securityMirror, suite: 'bookworm-security' });
  });

  it('stops where the keyring is not installed, and names its package', async () => {
    await expect(suiteSources({ suite: 'noble', mirror }, keyrings, { keyrings })).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot verify packages of noble: there is no ${join(keyrings, 'ubuntu-archive-keyring.gpg')}`,
      hint: expect.stringContaining('ubuntu-keyring'),
    });
  });

  it('stops at a suite that nobody knows, and names those that are known', async () => {
    await expect(suiteSources({ suite: 'hamm', mirror }, keyrings, { keyrings })).rejects.toMatchObject({
      message: 'cannot build the base: the suite hamm is not known',
      hint: expect.stringContaining(Object.keys(knownSuites).join(', ')),
    });
  });
});

describe('the host’s own sources', () => {
  const pick = (wanted: string, ...sources: [suite: string, codename: string][]) => {
    const common = { uri: 'http://mirror.example.org', component: 'main', keyring: '' };
    return ofSuite(
      sources.map(([suite, codename]) => ({ ...common, suite, codename })),
      wanted,
    ).map(({ suite }) => suite);
  };

  it('are taken where they are the suite, its updates or its security updates', () => {
    const debian: [string, string][] = [
      ['stable', 'bookworm'],
      ['bookworm-updates', 'bookworm-updates'],
      ['bookworm-security', 'bookworm-security'],
      ['trixie', 'trixie'],
    ];
    expect(pick('bookworm', ...debian)).toEqual(['stable', 'bookworm-updates', 'bookworm-security']);
    expect(pick('noble', ...debian)).toEqual([]);
  });

  it('are never proposed updates or backports, whose codename is the suite’s in Ubuntu', () => {
    const ubuntu = ['', '-updates', '-security', '-proposed', '-backports'].map(
      (pocket): [string, string] => [`plucky${pocket}`, 'plucky'],
    );
    expect(pick('plucky', ...ubuntu)).toEqual(['plucky', 'plucky-updates', 'plucky-security']);
    expect(pick('bookworm', ['bookworm-proposed-updates', 'bookworm-proposed-updates'])).toEqual([]);
    expect(pick('bookworm', ['bookworm-backports', 'bookworm-backports'])).toEqual([]);
  });
});

describe('the key of a built base', () => {
  const recipe = templatePath('base');
  const before = process.env.SOURCE_DATE_EPOCH;
  afterEach(() => {
    if (before === undefined) delete process.env.SOURCE_DATE_EPOCH;
    else process.env.SOURCE_DATE_EPOCH = before;
  });

  it('differs by suite, lists, mirror and SOURCE_DATE_EPOCH, and by nothing else', async () => {
    const plain = { recipe, suite: 'bookworm' };
    const key = await builtBaseKey(plain);
    expect(await builtBaseKey({ ...plain, lists: ['nfs'] })).toBe(key);
    const others = [
      await builtBaseKey({ ...plain, suite: 'trixie' }),
      await builtBaseKey({ ...plain, lists: [] }),
      await builtBaseKey({ ...plain, lists: ['gpu', 'nfs'] }),
      await builtBaseKey({ ...plain, mirror: 'http://mirror.example.org/debian' }),
    ];
    process.env.SOURCE_DATE_EPOCH = '1700000000';
    others.push(await builtBaseKey(plain));
    expect(new Set([key, ...others]).size).toBe(6);
    expect(await builtBaseKey({ ...plain, lists: ['nfs', 'gpu'] })).toBe(
      await builtBaseKey({ ...plain, lists: ['gpu', 'nfs'] }),
    );
  });

  it('is refused for a SOURCE_DATE_EPOCH that is no number', async () => {
    process.env.SOURCE_DATE_EPOCH = 'yesterday';
    await expect(builtBaseKey({ recipe, suite: 'bookworm' })).rejects.toThrow('not a number of seconds');
  });
});
