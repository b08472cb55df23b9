import { exitStatus, UserError } from '../../host/errors.ts';

/** A size as it is asked for: the new one, or a change of the present one. Bytes. */
export interface SizeRequest {
  /** As it was written. */
  text: string;
  kind: 'absolute' | 'relative';
  /** Below 0 where the drive is to lose so much. */
  bytes: number;
}

/** Binary units, as qemu-img has them and as the drive sizes of `cc_config`. */
const units: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
/** Sizes are whole MiB: every ext4 block size divides them. */
const step = 2 ** 20;
/** The largest drive, bytes: 16 TiB, also the largest file of an ext4 host. */
const largest = 2 ** 44;

/**
 * Reads `21G`, `+20G` or `-5G`.
 * @throws UserError where it is none of these.
 */
export function parseSize(text: string): SizeRequest {
  const match = /^([+-]?)(\d{1,13}(?:\.\d{1,3})?)([KMGT])(?:i?B)?$/i.exec(text);
  if (match === null)
    throw unusable(text, 'it is no size', 'write 21G for the new size, or +20G for so much more');
  const [, sign, number, unit] = match as unknown as [string, string, string, string];
  const bytes = Number(number) * units[unit.toUpperCase()]!;
  if (bytes % step !== 0) throw unusable(text, 'it is not a whole number of MiB');
  if (bytes === 0 && sign === '') throw unusable(text, 'nothing fits on such a drive');
  if (sign === '') return { text, kind: 'absolute', bytes };
  return { text, kind: 'relative', bytes: sign === '-' ? -bytes : bytes };
}

/**
 * The size that a drive is to get, bytes.
 * @throws UserError where no drive can have it.
 */
export function targetBytes(request: SizeRequest, present: number): number {
  const target =
    request.kind === 'absolute' ? request.bytes : Math.floor((present + request.bytes) / step) * step;
  if (target <= 0) throw unusable(request.text, `the drive has only ${sizeText(present)}`);
  if (target > largest) throw unusable(request.text, `no drive can be larger than ${sizeText(largest)}`);
  return target;
}

/** A size for people, exact: `21 GiB`, `1536 MiB`. */
export function sizeText(bytes: number): string {
  const unit = bytes % 2 ** 30 === 0 ? 'G' : bytes % 2 ** 20 === 0 ? 'M' : undefined;
  return unit === undefined ? `${bytes} bytes` : `${bytes / units[unit]!} ${unit}iB`;
}

function unusable(text: string, cause: string, hint?: string): UserError {
  return new UserError(`cannot use the size ${JSON.stringify(text)}: ${cause}`, {
    status: exitStatus.usage,
    ...(hint === undefined ? {} : { hint }),
  });
}
