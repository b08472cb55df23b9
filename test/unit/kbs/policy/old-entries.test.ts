import { describe, expect, test } from 'vitest';
import { adoptInto, placeEntries } from '../../../../src/kbs/policy/adopt-records.ts';
import { findOldEntries } from '../../../../src/kbs/policy/old-entries.ts';
import { digestOf, imageOf } from '../records.ts';

const one = digestOf('one');
const two = digestOf('two');
const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
const evidence = 'input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]';
const claim = `${evidence}["snp"]["measurement"]`;
const dotted = 'input.submods.cpu0["ear.veraison.annotated-evidence"].snp.measurement';
const found = (rules: string) =>
  findOldEntries(`package policy\n\ndefault allow = false\n\n${rules}\n`).map(({ digests, path }) => ({
    digests,
    path,
  }));

describe('entries of an older builder', () => {
  test.each([
    ['v0, base64', `allow {\n  ${claim} == "${base64(one)}"\n}`],
    ['v0, one line', `allow { ${dotted} == "${one}" }`],
    ['with if', `allow if {\n\t${dotted} == "${one}"\n}`],
    ['with if, without braces', `allow if ${dotted} == "${one}"`],
    ['with a value', `allow = true { ${claim} == "${one}" }`],
    ['the other way round', `allow { "${one}" == ${claim} }`],
    ['upper-case hex', `allow { ${claim} == "${one.toUpperCase()}" }`],
    ['in a set', `allow if ${claim} in {"${one}"}`],
    ['in a list', `allow if ${claim} in ["${one}", "${base64(one)}"]`],
    ['looked up in a set', `allow { {"${one}"}[${claim}] }`],
    ['picked from a list', `allow { ${claim} == ["${one}"][_] }`],
    ['by a local name', `allow {\n  snp := ${evidence}.snp\n  snp.measurement == "${one}"\n}`],
    [
      'with the other claims ours asks for',
      `allow {\n  ${claim} == "${one}"\n  not ${evidence}.snp.policy_debug_allowed\n  data.plugin == "resource"\n}`,
    ],
  ])('%s', (_, rule) => {
    expect(found(rule)).toEqual([{ digests: [one], path: undefined }]);
  });

  test('several digests of one rule, by a list or by further bodies', () => {
    expect(found(`allow { ${claim} == ["${one}", "${two}"][_] }`)).toEqual([
      { digests: [one, two], path: undefined },
    ]);
    expect(found(`allow { ${claim} == "${one}" } { ${claim} == "${two}" }`)).toEqual([
      { digests: [one, two], path: undefined },
    ]);
  });

  test.each([
    [
      'in the rule, older form',
      `allow {\n  ${claim} == "${one}"\n  data["resource-path"] == "resource/keys/root/abc"\n}`,
    ],
    [
      'in the rule, newer form',
      `allow {\n  ${claim} == "${one}"\n  data["resource-path"] == ["keys", "root", "abc"]\n}`,
    ],
    ['in a comment above', `# site-1: key at keys/root/abc.\nallow { ${claim} == "${one}" }`],
    [
      'in a comment above, as a kbs address',
      `# kbs:///keys/root/abc\n# 2026/01/02\nallow { ${claim} == "${one}" }`,
    ],
    ['in a comment inside', `allow {\n  # keys/root/abc\n  ${claim} == "${one}"\n}`],
    ['in a comment behind', `allow { ${claim} == "${one}" } # keys/root/abc`],
  ])('the path is found %s', (_, rule) => {
    expect(found(rule)).toEqual([{ digests: [one], path: 'keys/root/abc' }]);
  });

  test.each([
    ['two paths in the comment', `# keys/root/a or keys/root/b\nallow { ${claim} == "${one}" }`],
    ['a comment further up', `# keys/root/abc\n\nallow { ${claim} == "${one}" }`],
    ['a date', `# 2026/01/02\nallow { ${claim} == "${one}" }`],
  ])('no path is taken from %s', (_, rule) => {
    expect(found(rule)).toEqual([{ digests: [one], path: undefined }]);
  });

  test.each([
    ['asks for more', `allow {\n  ${claim} == "${one}"\n  input.x == 1\n}`],
    ['asks for less: any digest', `allow { ${claim} }`],
    ['asks for another digest', `allow { ${claim} != "${one}" }`],
    ['contradicts itself', `allow { ${claim} == "${one}"; ${claim} == "${two}" }`],
    ['has a digest of another length', `allow { ${claim} == "abc" }`],
    [
      'allows debugging',
      `allow {\n  ${claim} == "${one}"\n  ${evidence}.snp.policy_debug_allowed == true\n}`,
    ],
    ['is about another TEE', `allow { ${evidence}.sample.measurement == "${one}" }`],
    ['denies', `allow = false { ${claim} == "${one}" }`],
    ['is another rule', `deny { ${claim} == "${one}" }`],
    ['has an else', `allow { ${claim} == "${one}" } else = true { input.x }`],
    ['is for another plugin', `allow {\n  ${claim} == "${one}"\n  data.plugin == "other"\n}`],
  ])('a rule that %s is none', (_, rule) => {
    expect(found(rule)).toEqual([]);
  });
});

describe('places of entries', () => {
  const entry = (hex: string, path?: string) => ({ digests: [hex], path, start: 0, end: 0, at: 0 });
  const place = (entries: ReturnType<typeof entry>[], places: Parameters<typeof placeEntries>[1]) =>
    placeEntries(entries, places, () => 7).map(({ path }) => path);

  test('the rule, a map by either encoding, and one path for the one that is left', () => {
    expect(place([entry(one, 'a/b/c'), entry(two)], { resource: 'a/b/d' })).toEqual(['a/b/c', 'a/b/d']);
    const map = [
      { prefix: one.slice(0, 8), path: 'a/b/c' },
      { prefix: base64(two).slice(0, 8), path: 'a/b/d' },
    ];
    expect(place([entry(one), entry(two)], { map })).toEqual(['a/b/c', 'a/b/d']);
  });

  test('the same image written twice shares its path', () => {
    expect(place([entry(one), entry(one)], { resource: 'a/b/c' })).toEqual(['a/b/c', 'a/b/c']);
  });

  test.each([
    ['no path', {}, /no resource path is known/],
    [
      'one path for two images',
      { resource: 'a/b/c' },
      /2 images under a\/b\/c: each could read the key of the others/,
    ],
    ['a path that is none', { resource: 'a/b' }, /no resource path/],
    ['a map that fits nothing', { map: [{ prefix: 'zzzz', path: 'a/b/c' }] }, /no entry with a digest/],
    ['a map that fits everything', { map: [{ prefix: '', path: 'a/b/c' }] }, /no entry with a digest/],
  ])('%s is refused', (_, places, message) => {
    expect(() => place([entry(one), entry(two)], places)).toThrow(message);
  });

  test('a map that fits two images, or contradicts the rule, is refused', () => {
    const near = `${one.slice(0, 90)}000000`;
    const map = [{ prefix: one.slice(0, 8), path: 'a/b/c' }];
    expect(() => place([entry(one), entry(near)], { map })).toThrow(/2 images with a digest/);
    expect(() => place([entry(one, 'a/b/d')], { map })).toThrow(/line 7 is for a\/b\/d/);
  });
});

describe('records of entries', () => {
  const entry = (hex: string) => ({ digests: [hex], path: undefined, start: 0, end: 0, at: 0 });
  const now = new Date('2026-01-02T03:04:05.000Z');
  const into = (images: ReturnType<typeof imageOf>[], hex: string, path: string) =>
    adoptInto('/policy', { version: 1, kind: 'production', images }, [{ entry: entry(hex), path }], now);

  test('the id is the one in the path, else always the same', () => {
    expect(into([], one, 'keys/root/0123456789ab').registry.images[0]!.id).toBe('0123456789ab');
    const made = into([], one, 'keys/root/site').registry.images[0]!.id;
    expect(made).toMatch(/^[0-9a-f]{12}$/);
    expect(into([], one, 'keys/root/site').registry.images[0]!.id).toBe(made);
  });

  test('an image that the registry has is left as it is', () => {
    const image = imageOf(1);
    const { registry, adopted } = into([image], digestOf('image 1'), image.resourcePath);
    expect(registry.images).toEqual([image]);
    expect(adopted).toMatchObject([{ fate: 'known', image: image.id }]);
  });

  test('a retired image does not get its right back', () => {
    const image = imageOf(1, { status: 'retired' });
    const { registry, adopted } = into([image], digestOf('image 1'), image.resourcePath);
    expect(registry.images).toEqual([image]);
    expect(adopted).toMatchObject([{ fate: 'retired' }]);
  });

  test("another image's path is refused", () => {
    expect(() => into([imageOf(1)], one, imageOf(1).resourcePath)).toThrow(
      /is|that is the key of active image/,
    );
  });

  test('a development registry takes none', () => {
    const registry = { version: 1 as const, kind: 'development' as const, images: [] };
    expect(() => adoptInto('/policy', registry, [], now)).toThrow(/development registry/);
  });
});
