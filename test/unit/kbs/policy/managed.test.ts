import { describe, expect, test } from 'vitest';
import { readTemplate } from '../../../../src/host/template.ts';
import { diffLines, unifiedDiff } from '../../../../src/kbs/policy/diff.ts';
import { compareManaged } from '../../../../src/kbs/policy/managed.ts';
import { fillPolicy, splitPolicy } from '../../../../src/kbs/policy/text.ts';
import { digestOf, imageOf } from '../records.ts';

const template = await readTemplate('policy.rego');
const images = [imageOf(1), imageOf(2), imageOf(3, { status: 'retired' })];
const managedOf = (of: typeof images) => splitPolicy(fillPolicy(template, of)).managed;
const expected = managedOf(images);
const compare = (present: string) => compareManaged(present, expected, 10, images);
const lineOf = (text: string, part: string) => 10 + text.split('\n').findIndex((line) => line.includes(part));

describe('the managed part against the registry', () => {
  test('as it was written there is nothing to find', () => {
    expect(compare(expected)).toEqual([]);
  });

  test('a digest edited by hand is found in its line', () => {
    const present = expected.replace(digestOf('image 2'), digestOf('other'));
    const [finding, ...more] = compare(present);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      severity: 'refuse',
      line: lineOf(present, digestOf('other')),
      rule: 'managed-changed',
    });
    expect(finding!.message).toContain('edited by hand');
  });

  test('a condition taken out is found', () => {
    const present = expected.replace('\tcvm_snp.policy_debug_allowed == false\n', '');
    expect(compare(present)).toMatchObject([
      {
        line: lineOf(expected, 'policy_debug_allowed'),
        message: expect.stringMatching(/missing: cvm_snp\.policy_debug/),
      },
    ]);
  });

  test('a line added is found', () => {
    const present = expected.replace('allow if {', 'allow := true\n\nallow if {');
    const findings = compare(present);
    expect(findings[0]).toMatchObject({ line: lineOf(present, 'allow := true') });
    expect(findings[0]!.message).toContain('edited by hand: allow := true');
  });

  test('the entry of a retired image is named', () => {
    const present = managedOf([imageOf(1), imageOf(2), imageOf(3)]);
    expect(compare(present).map(({ message }) => message)).toContain(
      `the entry of image ${imageOf(3).id}, which is retired`,
    );
  });
});

describe('diff', () => {
  test('shows changed lines with three lines around them', () => {
    const before = 'a\nb\nc\nd\ne\nf\ng\nh\n';
    const after = 'a\nb\nc\nd\nE\nf\ng\nh\n';
    expect(unifiedDiff(before, after, 'x')).toBe(
      '--- x\n+++ x (new)\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n',
    );
    expect(unifiedDiff(before, before, 'x')).toBe('');
  });

  test('a missing last line end is shown', () => {
    expect(unifiedDiff('a', 'a\n', 'x')).toContain('\\ No newline at end of file');
  });

  test.each([
    ['', 'a\nb'],
    ['a\nb', ''],
    ['a\na\nb\nc\na', 'a\nb\na\nc\nc'],
    ['x\ny\nz', 'z\ny\nx'],
  ])('its parts make both texts up: %j, %j', (before, after) => {
    const runs = diffLines(before.split('\n'), after.split('\n'));
    const side = (without: string) =>
      runs.filter(({ kind }) => kind !== without).flatMap(({ lines }) => lines);
    expect(side('+').join('\n')).toBe(before);
    expect(side('-').join('\n')).toBe(after);
  });
});
