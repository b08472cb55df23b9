import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  firmwareDigest,
  hashBlobs,
  judgeFirmware,
  launchDigest,
  lzmaStreams,
  parseCpu,
  readFirmware,
} from '../../../src/measure/index.ts';
import { type RealWorldVector, vectorsFile } from '../../unit/measure/vectors.ts';

const { files, vectors } = vectorsFile.real_world;

/** The firmware, kernels and initrd that the vectors name, by their name there; only those that are here. */
function presentInputs(): Map<string, string> {
  const names = new Map(Object.entries(files).map(([name, { sha256 }]) => [sha256, name]));
  const sizes = new Set(Object.values(files).map(({ size }) => size));
  const folder = process.env.CVM_TEST_MEASURE_INPUTS;
  const paths = [
    '/usr/share/ovmf/OVMF.amdsev.fd',
    join(import.meta.dirname, '../../../base_images/OVMF.amdsev.fd'),
  ];
  if (folder !== undefined) paths.push(...readdirSync(folder).map((name) => join(folder, name)));
  const found = new Map<string, string>();
  for (const path of paths) {
    if (!existsSync(path) || !sizes.has(statSync(path).size)) continue;
    const name = names.get(createHash('sha256').update(readFileSync(path)).digest('hex'));
    if (name !== undefined) found.set(name, path);
  }
  return found;
}

const inputs = presentInputs();

function missing({ ovmf_file, kernel_file, initrd_file }: RealWorldVector): string[] {
  return [ovmf_file, kernel_file, initrd_file].filter(
    (name) => name !== null && !inputs.has(name),
  ) as string[];
}

async function digestOf(vector: RealWorldVector): Promise<Buffer> {
  const firmware = await readFirmware(inputs.get(vector.ovmf_file)!);
  if (vector.mode === 'snp:ovmf-hash') return firmwareDigest(firmware);
  const blobs =
    vector.kernel_file === null
      ? undefined
      : await hashBlobs({
          kernel: inputs.get(vector.kernel_file)!,
          initrd: vector.initrd_file === null ? undefined : inputs.get(vector.initrd_file),
          commandLine: vector.append ?? undefined,
        });
  return launchDigest(
    { firmware, blobs },
    {
      vcpus: vector.vcpus!,
      signature: parseCpu(vector.vcpu_type!),
      features: BigInt(vector.guest_features!),
    },
  );
}

describe('digests of real firmware and kernels', () => {
  for (const vector of vectors) {
    const absent = missing(vector);
    const title = absent.length === 0 ? vector.id : `${vector.id} (not here: ${absent.join(', ')})`;
    it.skipIf(absent.length > 0)(title, async () => {
      expect((await digestOf(vector)).toString('hex')).toBe(vector.expected);
    });
  }
});

describe("Debian's OVMF.amdsev.fd", () => {
  const path = inputs.get('ovmf-amdsev');

  it.skipIf(path === undefined)('unpacks with xz and is weak by its content alone', async () => {
    const { bytes } = await readFirmware(path!);
    const streams = lzmaStreams(bytes);
    expect(streams).toHaveLength(1);
    const volumes = streams.map((input) =>
      execFileSync('xz', ['--format=lzma', '-dc'], { input, maxBuffer: 256 * 1024 * 1024 }),
    );
    expect(judgeFirmware('not in the table', Buffer.concat(volumes)).verdict).toBe('weak');
    expect(judgeFirmware('not in the table', undefined).verdict).toBe('unknown');
  });
});
