import { createHash } from 'node:crypto';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';

/** A launch digest made up from a word. */
export function digestOf(word: string): string {
  return createHash('sha384').update(word).digest('hex');
}

/** An active image with an id made up from a number. */
export function imageOf(number: number, changes: Partial<ImageRecord> = {}): ImageRecord {
  const id = number.toString(16).padStart(12, '0');
  return {
    id,
    name: `site-${number}`,
    project: 'project',
    resourcePath: `keys/root/${id}`,
    digests: [
      {
        vcpus: 2,
        cpu: 'EPYC-v4',
        guestFeatures: '0x1',
        firmwareSha256: 'f'.repeat(64),
        hex: digestOf(`image ${number}`),
      },
    ],
    builtAt: '2026-01-02T03:04:05.000Z',
    status: 'active',
    kind: 'production',
    ...changes,
  };
}
