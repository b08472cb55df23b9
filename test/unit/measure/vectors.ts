import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../../vectors');

/** How the vectors file writes down bytes; its `rules.byte_sources` explain each form. */
export type ByteSource =
  | { base64: string }
  | { fill: string; len: number }
  | { sha256_counter: string; len: number }
  | { concat: ByteSource[] }
  | {
      size: number;
      base: { fill: string } | { sha256_counter: string };
      overlays: ({ offset: number } & ByteSource)[];
    }
  | { file: string };

export interface Vector {
  id: string;
  mode: 'snp' | 'snp:ovmf-hash' | 'snp:svsm' | 'seves' | 'sev';
  vmm?: 'QEMU' | 'ec2' | 'gce';
  vcpus?: number;
  vcpu_type?: string;
  vcpu_sig?: string;
  vcpu_fms?: [number, number, number];
  guest_features?: string;
  ovmf: ByteSource;
  kernel?: ByteSource | null;
  initrd?: ByteSource | null;
  append?: string | null;
  snp_ovmf_hash?: string;
  expected?: string;
  error?: true;
  reason?: string;
  intermediate?: Record<string, string>;
}

export interface IdBlockVector {
  id: string;
  launch_digest: string;
  family_id: string;
  image_id: string;
  guest_svn: number;
  policy: string;
  id_key_scalar_hex: string;
  author_key_scalar_hex?: string;
  id_block_base64: string;
  id_key_pub_sha256: string;
  id_key_digest: string;
  author_key_digest?: string;
  sample_id_auth_base64: string;
}

export interface RealWorldVector extends Omit<Vector, 'ovmf' | 'kernel' | 'initrd'> {
  ovmf_file: string;
  kernel_file: string | null;
  initrd_file: string | null;
}

interface VectorsFile {
  vectors: Vector[];
  real_world: { files: Record<string, { size: number; sha256: string }>; vectors: RealWorldVector[] };
  id_block: { vectors: IdBlockVector[] };
  cpu_signatures: {
    table: { cpu: string; family: number; model: number; stepping: number; signature: string }[];
  };
}

export const vectorsFile: VectorsFile = JSON.parse(readFileSync(join(folder, 'snp-vectors.json'), 'utf8'));

/** One of the two OVMF fixtures: a 4096-byte image. */
export const amdSevFixture = (): Buffer => readFileSync(join(folder, 'ovmf-fixtures/ovmf_AmdSev_suffix.bin'));
export const ovmfX64Fixture = (): Buffer =>
  readFileSync(join(folder, 'ovmf-fixtures/ovmf_OvmfX64_suffix.bin'));

function counterBytes(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let index = 0n; Number(index) * 32 < length; index++) {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64LE(index);
    blocks.push(createHash('sha256').update(seed, 'utf8').update(counter).digest());
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** The bytes that a vector means. A new buffer each time. */
export function bytesOf(source: ByteSource): Buffer {
  if ('base64' in source) return Buffer.from(source.base64, 'base64');
  if ('fill' in source) return Buffer.alloc(source.len, Number(source.fill));
  if ('sha256_counter' in source) return counterBytes(source.sha256_counter, source.len);
  if ('concat' in source) return Buffer.concat(source.concat.map(bytesOf));
  if ('file' in source) return readFileSync(join(folder, source.file));
  const bytes = bytesOf({ ...source.base, len: source.size });
  for (const overlay of source.overlays) bytesOf(overlay).copy(bytes, overlay.offset);
  return bytes;
}
