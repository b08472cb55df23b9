import { type BlobHashes, digestTable, type Firmware, hashBlobs } from '../measure/index.ts';
import type { Manifest } from './manifest.ts';

/**
 * Kernel parameters of every CVM. The list is sealed in the initrd and measured: InitApp compares it, the launch
 * digest covers it. `vm_id=<id>` comes in front.
 */
export const kernelParameters = [
  // The host's SMBIOS and fw_cfg tables hand in no credentials, its partition tables mount nothing.
  'systemd.import_credentials=no',
  'systemd.gpt_auto=0',
  'lockdown=integrity',
  'panic=-1',
  'oops=panic',
  'random.trust_bootloader=off',
  'ia32_emulation=0',
  'init_on_free=1',
  'console=ttyS0',
  'pci=realloc,nocrs',
] as const;

/** The measured kernel command line of an image. */
export function commandLine(id: string): string {
  return [`vm_id=${id}`, ...kernelParameters].join(' ');
}

/** What the VM is started with: the launch digests, the launch script and the boot proof all come from it. */
export interface LaunchInput {
  firmware: Firmware;
  /** Kernel and initrd, files. */
  kernel: string;
  initrd: string;
  cmdline: string;
  /** QEMU's name of the CPU model. */
  cpu: string;
  /** SEV_FEATURES. */
  guestFeatures: number;
  /** Counts to measure, ascending. */
  vcpus: readonly number[];
  memoryGib: number;
}

/** Hashes kernel, initrd and command line, and computes one launch digest per vCPU count. */
export async function measureLaunch(
  input: LaunchInput,
): Promise<{ launch: Manifest['launch']; blobs: BlobHashes }> {
  const { firmware, kernel, initrd, cmdline, cpu } = input;
  const blobs = await hashBlobs({ kernel, initrd, commandLine: cmdline });
  const features = [BigInt(input.guestFeatures)];
  const rows = digestTable({ mode: 'snp', firmware, blobs, vcpus: input.vcpus, cpus: [cpu], features });
  const guest_features = `0x${input.guestFeatures.toString(16)}`;
  const digests = rows.map(({ digest }, index) => ({
    vcpus: input.vcpus[index]!,
    cpu,
    guest_features,
    hex: digest.toString('hex'),
    base64: digest.toString('base64'),
  }));
  const launch: Manifest['launch'] = {
    cmdline,
    cpu,
    guest_features,
    policy: '0x30000',
    vcpus: [...input.vcpus],
    digests,
    memory_gib: input.memoryGib,
    hash_table_address: `0x${firmware.hashTableArea?.base.toString(16) ?? '0'}`,
  };
  return { launch, blobs };
}
