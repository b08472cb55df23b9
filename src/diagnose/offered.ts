import { exitStatus, UserError } from '../host/errors.ts';
import { hashInitrdFile, hashKernelFile, MeasurementError, readFirmware } from '../measure/index.ts';
import type { BlobFile, Sources } from './candidates.ts';

/** Paths, and texts of command lines, that the host may have used. */
export interface Offered {
  firmware?: readonly string[] | undefined;
  kernels?: readonly string[] | undefined;
  initrds?: readonly string[] | undefined;
  commandLines?: readonly string[] | undefined;
}

/**
 * Reads and hashes what the user offers.
 * @throws UserError with the status of bad usage for a file that QEMU could not have measured.
 */
export async function offeredSources(
  offered: Offered,
): Promise<Pick<Sources, 'firmware' | 'kernels' | 'initrds' | 'commandLines'>> {
  const firmware: Sources['firmware'][number][] = [];
  const kernels: BlobFile[] = [];
  const initrds: BlobFile[] = [];
  const origin = (name: string) => ({ kind: 'offered', name }) as const;
  try {
    for (const file of offered.firmware ?? []) {
      firmware.push({ image: await readFirmware(file, { target: 'any' }), origin: origin(file) });
    }
    for (const file of offered.kernels ?? []) {
      kernels.push({ sha256: (await hashKernelFile(file)).toString('hex'), origin: origin(file) });
    }
    for (const file of offered.initrds ?? []) {
      initrds.push({ sha256: (await hashInitrdFile(file)).toString('hex'), origin: origin(file) });
    }
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    throw new UserError(error.message, { status: exitStatus.usage, cause: error });
  }
  return { firmware, kernels, initrds, commandLines: offered.commandLines ?? [] };
}
