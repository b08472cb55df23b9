import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limitFindings, policyLimits } from '../../../../src/kbs/policy/limits.ts';
import { composePolicy } from '../../../../src/kbs/policy/policy.ts';
import { imageOf } from '../records.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'limits-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('limits of newer policy engines', () => {
  test('are kept by a thousand images with three vCPU counts each', async () => {
    const images = Array.from({ length: 1000 }, (_, index) => {
      const [digest] = imageOf(index + 1).digests;
      const digests = [2, 4, 8].map((vcpus) => ({
        ...digest!,
        vcpus,
        hex: (index * 16 + vcpus).toString(16).padStart(96, '0'),
      }));
      return imageOf(index + 1, { digests });
    });
    const { text } = await composePolicy(join(folder, 'policy.rego'), undefined, images, undefined);
    expect(limitFindings(text)).toEqual([]);
  });

  test('stop a policy that no longer fits, before anything is written', async () => {
    const images = Array.from({ length: 6000 }, (_, index) => imageOf(index + 1));
    const path = join(folder, 'policy.rego');
    await expect(composePolicy(path, undefined, images, undefined)).rejects.toMatchObject({
      message: expect.stringMatching(/cannot update the policy .*: it has \d+ bytes/),
      details: [expect.stringContaining('machine.vcpus')],
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test('are of bytes, lines and columns', () => {
    const { bytes, lines, columns } = policyLimits;
    expect(limitFindings(`${'x'.repeat(100)}\n`.repeat(100))).toEqual([]);
    expect(limitFindings('x'.repeat(columns))).toEqual([]);
    expect(limitFindings(`\n\n${'x'.repeat(columns + 1)}`)).toMatchObject([{ line: 3, rule: 'too-large' }]);
    expect(limitFindings('\n'.repeat(lines))).toMatchObject([{ message: expect.stringContaining('lines') }]);
    const wide = `${'x'.repeat(columns)}\n`;
    expect(limitFindings(wide.repeat(Math.ceil(bytes / wide.length)))).toMatchObject([
      { message: expect.stringContaining('bytes') },
    ]);
  });
});
