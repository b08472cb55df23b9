import { describe, expect, test } from 'vitest';
import { readTemplate } from '../../../../src/host/template.ts';
import { policyEntry } from '../../../../src/kbs/policy/entry.ts';
import { lintPolicy } from '../../../../src/kbs/policy/lint.ts';
import { fillPolicy, splitPolicy } from '../../../../src/kbs/policy/text.ts';
import { digestOf, imageOf } from '../records.ts';

const template = await readTemplate('policy.rego');

/** The policy without comments. */
function code(text: string): string {
  return text.replaceAll(/#.*$/gm, '');
}

describe('the generated policy', () => {
  test('is of package policy, imports rego.v1 and denies by default', () => {
    const text = fillPolicy(template, [imageOf(1)]);
    expect(text.startsWith('package policy\n')).toBe(true);
    expect(code(text)).toMatch(/^import rego\.v1$/m);
    expect(code(text)).toMatch(/^default allow := false$/m);
    expect(code(text).match(/^allow\b/gm)).toEqual(['allow']);
    const { before, managed } = splitPolicy(text);
    expect(lintPolicy(before, { beside: managed })).toEqual([]);
  });

  test('has both encodings of each digest under the path of its image', () => {
    const text = fillPolicy(template, [imageOf(1), imageOf(2)]);
    for (const number of [1, 2]) {
      const hex = digestOf(`image ${number}`);
      const base64 = Buffer.from(hex, 'hex').toString('base64');
      const entry = text.split(`"${imageOf(number).resourcePath}": `)[1]?.split(',\n')[0];
      expect(entry).toBe(`\`${hex} ${base64}\``);
      expect(text.split(hex).length).toBe(2);
    }
  });

  test('never mentions the sample TEE', () => {
    const adopted = { at: '2026-01-02T03:04:05.000Z', digests: [digestOf('old')] };
    const forms = [
      fillPolicy(template, []),
      fillPolicy(template, [imageOf(1)]),
      fillPolicy(template, [imageOf(1, { kind: 'development' }), imageOf(2, { status: 'retired' })]),
      fillPolicy(template, [imageOf(1, { digests: [], adopted })], {
        bootloader: 1,
        tee: 2,
        snp: 3,
        microcode: 4,
      }),
      policyEntry(imageOf(1)),
    ];
    for (const form of forms) expect(form).not.toMatch(/sample/i);
  });

  test('has the digests of an image that was taken over, and says when that was', () => {
    const adopted = { at: '2026-01-02T03:04:05.000Z', digests: [digestOf('old')] };
    const text = fillPolicy(template, [imageOf(1, { digests: [], adopted })]);
    expect(text).toContain(`\`${digestOf('old')} `);
    expect(text).toContain('taken over 2026-01-02T03:04:05.000Z');
  });

  test('has one rule however many images there are, and is the same each time', () => {
    const images = Array.from({ length: 1000 }, (_, index) => imageOf(index + 1));
    const text = fillPolicy(template, images);
    expect(fillPolicy(template, images.toReversed())).toBe(text);
    expect(code(text).match(/^allow\b/gm)).toHaveLength(1);
  });

  test('asks for debugging and migration to be off', () => {
    const text = code(fillPolicy(template, []));
    expect(text).toContain('cvm_snp.policy_debug_allowed == false');
    expect(text).toContain('cvm_snp.policy_migrate_ma == false');
  });

  test('leaves retired images out', () => {
    const text = fillPolicy(template, [imageOf(1, { status: 'retired' }), imageOf(2)]);
    expect(text).not.toContain(imageOf(1).resourcePath);
    expect(text).not.toContain(digestOf('image 1'));
    expect(text).toContain(imageOf(2).resourcePath);
  });

  test('does not depend on the order of the images or of their digests', () => {
    const [digest] = imageOf(1).digests;
    const digests = [digest!, { ...digest!, vcpus: 4, hex: digestOf('four') }];
    const one = fillPolicy(template, [imageOf(1, { digests }), imageOf(2), imageOf(3)]);
    const other = fillPolicy(template, [
      imageOf(3),
      imageOf(1, { digests: digests.toReversed() }),
      imageOf(2),
    ]);
    expect(one).toBe(other);
  });

  test('compares the minimum TCB as numbers, not by exact match', () => {
    const text = code(fillPolicy(template, [], { bootloader: 4, microcode: 72 }));
    for (const [part, version] of [
      ['bootloader', 4],
      ['microcode', 72],
    ]) {
      expect(text).toContain(`is_number(cvm_snp.reported_tcb_${part})`);
      expect(text).toContain(`cvm_snp.reported_tcb_${part} >= ${version}`);
    }
    expect(text).not.toContain('reported_tcb_tee');
  });

  test.each([-1, 256, 1.5, Number.NaN])('a minimum of %d is refused', (snp) => {
    expect(() => fillPolicy(template, [], { snp })).toThrow(RangeError);
  });

  test('a name cannot become policy', () => {
    const name = 'x" } allow := true #';
    const lines = policyEntry(imageOf(1, { name })).split('\n');
    expect(lines[0]).toMatch(/^\t# image/);
    expect(code(lines.join('\n'))).not.toContain('allow');
  });

  test('a value that looks like a placeholder stays as it is', () => {
    expect(fillPolicy(template, [imageOf(1, { name: '@MINIMUM_TCB@' })])).toContain('"@MINIMUM_TCB@"');
  });
});

describe('marks', () => {
  const managed = splitPolicy(fillPolicy(template, [])).managed;

  test('text outside is kept byte for byte', () => {
    for (const [before, after] of [
      ['package policy\r\nimport rego.v1\r\n', '\r\n# end \u{1f600}'],
      ['', ''],
      ['x\n\n\n', '\n\ny'],
    ] as const) {
      expect(splitPolicy(before + managed + after)).toEqual({ before, managed, after });
    }
  });

  test('a file without marks is all before', () => {
    expect(splitPolicy('package policy\n')).toEqual({ before: 'package policy\n', managed: '', after: '' });
  });

  test.each([
    ['# BEGIN cvm-builder\n', /line 1 begins a part that nothing ends/],
    ['\n# END cvm-builder\n', /line 2 ends a part that nothing begins/],
    ['# END cvm-builder\n# BEGIN cvm-builder\n', /line 1 ends what is begun later/],
    ['# BEGIN cvm-builder\n# BEGIN cvm-builder\n# END cvm-builder\n', /line 2 marks a second/],
    ['# BEGIN cvm-builder\n# END cvm-builder\n# END cvm-builder\n', /line 3 marks a second/],
  ])('%j is refused', (text, message) => {
    expect(() => splitPolicy(text)).toThrow(message);
  });
});
