import { createHash } from 'node:crypto';
import { hashedFiles, type Manifest } from '../../../src/bundle/index.ts';
import type { Diagnosis, Sources } from '../../../src/diagnose/index.ts';
import { diagnose } from '../../../src/diagnose/index.ts';
import {
  type BlobHashes,
  type Firmware,
  hashCommandLine,
  type Launch,
  type LaunchVariant,
  launchDigest,
  launchDigests,
  parseFirmware,
} from '../../../src/measure/index.ts';
import { firmwareImage } from '../measure/firmware-image.ts';

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export const firmware: Firmware = parseFirmware(firmwareImage());
export const cmdline = 'vm_id=885fe8f608b3 lockdown=integrity console=ttyS0 pci=realloc,nocrs';
/** EPYC-v4 */
export const signature = 0x800f12;
export const measuredCounts = [4, 8, 16];

export const blobs: BlobHashes = {
  kernel: Buffer.from(sha256('kernel'), 'hex'),
  initrd: Buffer.from(sha256('initrd'), 'hex'),
  commandLine: hashCommandLine(cmdline),
};

/** The digest of a VM that was started otherwise than the bundle says. */
export function startedWith(
  launch: Partial<Launch> & { commandLine?: string } = {},
  variant: Partial<LaunchVariant> = {},
): Buffer {
  const { commandLine, ...rest } = launch;
  const line = commandLine === undefined ? {} : { commandLine: hashCommandLine(commandLine) };
  return launchDigest(
    { firmware, blobs: { ...blobs, ...line }, ...rest },
    { vcpus: 8, signature, features: 1n, ...variant },
  );
}

/** The manifest of a bundle on synthetic firmware, for these vCPU counts. */
export function manifestFor(vcpus: readonly number[] = measuredCounts): Manifest {
  const variants = vcpus.map((count) => ({ vcpus: count, signature, features: 1n }));
  const files = {
    'OVMF.amdsev.fd': firmware.sha256,
    vmlinuz: sha256('kernel'),
    'initrd.img': sha256('initrd'),
  };
  const sums: Record<string, string> = files;
  return {
    schema_version: 1,
    id: '885fe8f608b3',
    name: 'site-1',
    kind: 'production',
    builder_version: '0.1.0',
    created: '2026-01-02T03:04:05.000Z',
    files: Object.fromEntries(
      hashedFiles.map((name) => [name, { sha256: sums[name] ?? sha256(name), bytes: 1 }]),
    ) as Manifest['files'],
    launch: {
      cmdline,
      cpu: 'EPYC-v4',
      guest_features: '0x1',
      policy: '0x30000',
      vcpus: [...vcpus],
      digests: launchDigests({ firmware, blobs }, variants).map((digest, index) => ({
        vcpus: vcpus[index]!,
        cpu: 'EPYC-v4',
        guest_features: '0x1',
        hex: digest.toString('hex'),
        base64: digest.toString('base64'),
      })),
      memory_gib: 16,
      hash_table_address: '0x810c00',
    },
    firmware: { sha256: firmware.sha256, verdict: 'unknown', reason: 'it is made of zeros' },
    kbs: { url: 'https://kbs.example.com:8999', resource: 'keys/root/885fe8f608b3' },
  };
}

export const manifest: Manifest = manifestFor();

/** Nothing but the bundle's own firmware. */
export const ownSources: Sources = {
  firmware: [{ image: firmware, origin: { kind: 'manifest' } }],
  kernels: [],
  initrds: [],
  commandLines: [],
};

export function diagnosed(digest: Buffer, sources: Partial<Sources> = {}): Promise<Diagnosis> {
  return diagnose({ manifest, sources: { ...ownSources, ...sources }, digest });
}
