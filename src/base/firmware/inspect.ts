import { messageOf, UserError } from '../../host/errors.ts';
import { run } from '../../host/run.ts';
import { type FirmwareVerdict, MeasurementError, parseFirmware, readFirmware } from '../../measure/index.ts';
import type { FoundFirmware } from './place.ts';
import { verdictOf } from './volume.ts';

/** What a firmware file is and whether a launch digest of it proves anything. */
export interface FirmwareFacts extends FirmwareVerdict {
  file: string;
  origin: string;
  /** Lower-case hex. */
  sha256: string;
  /** Bytes. */
  size: number;
  /** Debian or Ubuntu package that installed the file, with its version. */
  package?: string;
  /** Guest-physical address of the table with the hashes of kernel, initrd and command line; absent where it checks none. */
  hashTableAddress?: string;
  /** Number of sections in the SEV metadata that SEV-SNP needs; 0 where there is none. */
  snpSections: number;
  /** Why a VM cannot be measured and started with it; absent where it can. */
  unfit?: string;
}

/**
 * Looks into a firmware file.
 * @throws UserError where it is no firmware at all.
 */
export async function inspectFirmware(
  { file, origin }: FoundFirmware,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<FirmwareFacts> {
  const firmware = await readFirmware(file, { target: 'any' }).catch((error: unknown) => {
    throw new UserError(messageOf(error), { cause: error });
  });
  const { sha256, size, sections, hashTableArea, bytes } = firmware;
  const verdict = await verdictOf(firmware, { signal });
  const from = await packageOf(file, signal);
  const unfit = unfitness(bytes, sections.length > 0 && hashTableArea !== undefined);
  return {
    file,
    origin,
    sha256,
    size,
    ...(from === undefined ? {} : { package: from }),
    ...(hashTableArea === undefined ? {} : { hashTableAddress: `0x${hashTableArea.base.toString(16)}` }),
    snpSections: sections.length,
    ...(unfit === undefined ? {} : { unfit }),
    ...verdict,
  };
}

function unfitness(bytes: Buffer, complete: boolean): string | undefined {
  try {
    parseFirmware(bytes, { target: 'qemu' });
  } catch (error) {
    if (error instanceof MeasurementError) return error.message;
    throw error;
  }
  return complete ? undefined : 'it has no table of kernel hashes: it would start any kernel';
}

/** `package version` by dpkg's own list; undefined where the file is from none, and on other distributions. */
async function packageOf(file: string, signal?: AbortSignal): Promise<string | undefined> {
  if (!file.startsWith('/usr/')) return undefined;
  try {
    const name = /^([^:\s]+)(?::\w+)?: /m.exec(await run('dpkg-query', ['--search', file], { signal }))?.[1];
    if (name === undefined) return undefined;
    const status = await run('dpkg-query', ['--status', name], { signal });
    return `${name} ${/^Version: (\S+)$/m.exec(status)?.[1] ?? ''}`.trim();
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}
