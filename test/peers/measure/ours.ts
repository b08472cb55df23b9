import {
  cpuSignature,
  firmwareDigest,
  hashBlobs,
  launchDigest,
  parseCpu,
  readFirmware,
  sevDigest,
  sevEsDigest,
} from '../../../src/measure/index.ts';
import type { Case } from './cases.ts';
import type { Files } from './upstream.ts';

/** The signature of a case's CPU. */
export function signatureOf(cpu: string): number {
  const [family, model, stepping] = cpu.split('/').map(Number);
  if (model === undefined) return parseCpu(cpu);
  return cpuSignature({ family: family!, model, stepping: stepping! });
}

/**
 * What the library makes of a case.
 * @throws MeasurementError as the library does.
 */
export async function ourDigest(files: Files, one: Case): Promise<Buffer> {
  // Upstream reads tails of a firmware too, which QEMU would not start.
  const firmware = await readFirmware(files.ovmf, { target: 'any' });
  if (one.mode === 'snp:ovmf-hash') return firmwareDigest(firmware);
  const blobs = one.kernel
    ? await hashBlobs({
        kernel: files.kernel,
        initrd: one.initrd ? files.initrd : undefined,
        commandLine: one.append,
      })
    : undefined;
  const { vmm, vcpus, features } = one;
  const signature = signatureOf(one.cpu);
  if (one.mode === 'sev') return sevDigest(firmware, blobs);
  if (one.mode === 'seves') return sevEsDigest(firmware, vcpus, signature, blobs);
  const seed = one.seeded ? firmwareDigest(firmware) : undefined;
  return launchDigest(
    { firmware, vmm, blobs, firmwareDigest: seed },
    { vcpus, signature, features: BigInt(features) },
  );
}
