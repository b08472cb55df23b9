import { createHash, type Hash } from 'node:crypto';
import type { Firmware } from './firmware.ts';
import { type BlobHashes, hashTableAddress, kernelHashTable } from './kernel-hashes.ts';
import { checkSignature, checkVcpus } from './launch-digest.ts';
import { apVmsa, bspVmsa, type VmsaInput } from './vmsa.ts';

/**
 * The launch digest of plain SEV: SHA-256 over the firmware and, with a kernel, the hash table. 32 bytes.
 * It is an input to the platform's keyed LAUNCH_MEASURE, not the reported value.
 * @throws MeasurementError for a kernel with firmware that checks no kernel hashes.
 */
export function sevDigest(firmware: Firmware, blobs?: BlobHashes): Buffer {
  return startDigest(firmware, blobs).digest();
}

/**
 * The launch digest of SEV-ES under QEMU: as {@link sevDigest}, then the save area of each vCPU with
 * SEV_FEATURES zero. The save areas are those of hosts that copy the FPU state, as
 * current KVM does except on its legacy initialisation path.
 * @param signature CPUID Fn0000_0001_EAX
 * @throws MeasurementError as {@link sevDigest}, and for vCPUs that the firmware cannot start.
 */
export function sevEsDigest(
  firmware: Firmware,
  vcpus: number,
  signature: number,
  blobs?: BlobHashes,
): Buffer {
  checkVcpus(vcpus, firmware);
  checkSignature(signature);
  const hasher = startDigest(firmware, blobs);
  const input: VmsaInput = { vmm: 'qemu', signature, features: 0n };
  hasher.update(bspVmsa(input));
  if (vcpus > 1) {
    const ap = apVmsa(input, firmware.resetAddress!);
    for (let vcpu = 1; vcpu < vcpus; vcpu++) hasher.update(ap);
  }
  return hasher.digest();
}

function startDigest(firmware: Firmware, blobs: BlobHashes | undefined): Hash {
  const hasher = createHash('sha256').update(firmware.bytes);
  if (blobs === undefined) return hasher;
  hashTableAddress(firmware); // refuses firmware that would never read the table
  return hasher.update(kernelHashTable(blobs));
}
