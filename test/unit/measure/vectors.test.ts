import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  type BlobHashes,
  cpuSignature,
  defaultSevFeatures,
  firmwareDigest,
  hashCommandLine,
  kernelHashTable,
  launchDigest,
  MeasurementError,
  noInitrdHash,
  parseCpu,
  parseFirmware,
  sevDigest,
  sevEsDigest,
  type Vmm,
} from '../../../src/measure/index.ts';
import { apVmsa, bspVmsa } from '../../../src/measure/vmsa.ts';
import { firmwareImage } from './firmware-image.ts';
import { bytesOf, type RealWorldVector, type Vector, vectorsFile } from './vectors.ts';

const hashHex = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest('hex');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();

function blobsOf({ kernel, initrd, append }: Vector): BlobHashes | undefined {
  if (!kernel) return undefined;
  return {
    kernel: sha256(bytesOf(kernel)),
    initrd: initrd ? sha256(bytesOf(initrd)) : noInitrdHash,
    commandLine: hashCommandLine(append ?? undefined),
  };
}

function signatureOf({ vcpu_type, vcpu_sig, vcpu_fms }: Vector): number | undefined {
  if (vcpu_fms !== undefined) {
    const [family, model, stepping] = vcpu_fms;
    return cpuSignature({ family, model, stepping });
  }
  const cpu = vcpu_sig ?? vcpu_type;
  return cpu === undefined ? undefined : parseCpu(cpu);
}

const vmmOf = ({ vmm }: Vector) => (vmm ?? 'QEMU').toLowerCase() as Vmm;
const featuresOf = ({ guest_features }: Vector) => BigInt(guest_features ?? defaultSevFeatures);

function digestOf(vector: Vector): string {
  const firmware = parseFirmware(bytesOf(vector.ovmf), { target: 'any' });
  const blobs = blobsOf(vector);
  const vcpus = vector.vcpus ?? 0;
  const signature = signatureOf(vector);
  switch (vector.mode) {
    case 'snp': {
      const seed = vector.snp_ovmf_hash;
      return launchDigest(
        {
          firmware,
          vmm: vmmOf(vector),
          blobs,
          firmwareDigest: seed === undefined ? undefined : Buffer.from(seed, 'hex'),
        },
        { vcpus, signature, features: featuresOf(vector) },
      ).toString('hex');
    }
    case 'snp:ovmf-hash':
      return firmwareDigest(firmware).toString('hex');
    case 'seves':
      return sevEsDigest(firmware, vcpus, signature!, blobs).toString('hex');
    case 'sev':
      return sevDigest(firmware, blobs).toString('hex');
    case 'snp:svsm':
      throw new Error('not implemented on purpose');
  }
}

/** Every partial result the vector gives, and ours under the same names. */
function partialResults(vector: Vector): Record<string, string> {
  const firmware = parseFirmware(bytesOf(vector.ovmf), { target: 'any' });
  const found: Record<string, string> = {};
  const blobs = blobsOf(vector);
  if (blobs !== undefined) {
    found.kernel_sha256 = blobs.kernel.toString('hex');
    found.initrd_sha256 = blobs.initrd.toString('hex');
    found.cmdline_sha256 = blobs.commandLine.toString('hex');
    found.hash_table_sha256 = hashHex('sha256', kernelHashTable(blobs));
  }
  if (vector.mode === 'snp' && vector.snp_ovmf_hash === undefined) {
    found.ovmf_hash = firmwareDigest(firmware).toString('hex');
  }
  if (vector.mode === 'snp') found.reset_eip = `0x${firmware.resetAddress!.toString(16)}`;
  if (vector.mode === 'sev') return found;
  const input = {
    vmm: vmmOf(vector),
    signature: signatureOf(vector) ?? 0,
    features: vector.mode === 'seves' ? 0n : featuresOf(vector),
  };
  const algorithm = vector.mode === 'seves' ? 'sha256' : 'sha384';
  found[`vmsa_bsp_${algorithm}`] = hashHex(algorithm, bspVmsa(input));
  if (vector.vcpus! > 1) {
    found[`vmsa_ap_${algorithm}`] = hashHex(algorithm, apVmsa(input, firmware.resetAddress!));
  }
  return found;
}

const supported = vectorsFile.vectors.filter(({ mode }) => mode !== 'snp:svsm');
const digests = supported.filter(({ error }) => error !== true);
const refusals = supported.filter(({ error }) => error === true);

describe('published vectors', () => {
  it('are all here, but for the three of the SVSM mode that is not offered', () => {
    expect(vectorsFile.vectors).toHaveLength(124);
    expect(digests).toHaveLength(108);
    expect(refusals).toHaveLength(13);
  });

  it.each(digests.map((vector) => [vector.id, vector] as const))('%s: the digest agrees', (_id, vector) => {
    expect(digestOf(vector)).toBe(vector.expected);
  });

  it.each(
    digests.flatMap((vector) => (vector.intermediate ? [[vector.id, vector] as const] : [])),
  )('%s: partial results agree', (_id, vector) => {
    expect(partialResults(vector)).toEqual(vector.intermediate);
  });

  it.each(refusals.map((vector) => [vector.id, vector] as const))('%s is refused', (_id, vector) => {
    expect(() => digestOf(vector)).toThrow(MeasurementError);
  });

  it.each(vectorsFile.cpu_signatures.table)('$cpu has signature $signature', (row) => {
    expect(parseCpu(row.cpu)).toBe(Number(row.signature));
    expect(cpuSignature(row)).toBe(Number(row.signature));
  });
});

/**
 * A firmware digest and file hashes stand in for the files: the synthetic image has the tables of Debian's
 * AmdSev build, so what is left to compute is everything but the firmware's own pages.
 */
describe("digests of Debian's firmware and kernels, from the files' hashes", () => {
  const { files, vectors } = vectorsFile.real_world;
  const seed = vectors.find(({ id }) => id === 'real-amdsev-ovmfhash')!.expected!;
  const fileHash = (name: string | null) =>
    name === null ? noInitrdHash : Buffer.from(files[name]!.sha256, 'hex');
  const direct = vectors.filter(({ ovmf_file, mode }) => ovmf_file === 'ovmf-amdsev' && mode === 'snp');

  function blobHashes({ kernel_file, initrd_file, append }: RealWorldVector): BlobHashes | undefined {
    if (kernel_file === null) return undefined;
    return {
      kernel: fileHash(kernel_file),
      initrd: fileHash(initrd_file),
      commandLine: hashCommandLine(append ?? undefined),
    };
  }

  it('are six', () => expect(direct).toHaveLength(6));

  it.each(direct.map((vector) => [vector.id, vector] as const))('%s agrees', (_id, vector) => {
    const launch = {
      firmware: parseFirmware(firmwareImage()),
      firmwareDigest: Buffer.from(seed, 'hex'),
      blobs: blobHashes(vector),
    };
    const variant = {
      vcpus: vector.vcpus!,
      signature: parseCpu(vector.vcpu_type!),
      features: BigInt(vector.guest_features!),
    };
    expect(launchDigest(launch, variant).toString('hex')).toBe(vector.expected);
  });
});
