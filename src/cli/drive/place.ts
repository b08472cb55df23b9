import { statSync } from 'node:fs';
import { exitStatus, UserError } from '../../host/errors.ts';

/** A path on a drive. */
export interface DrivePlace {
  /** The qcow2 file. */
  drive: string;
  /** Absolute path on it. */
  path: string;
}

/**
 * Reads `DRIVE:/path`, or `DRIVE:` for the root: what stands before the first `:/` is an existing file.
 * @returns undefined for a path of this machine; one that looks like a place on a drive is written with `./` in front
 */
export function parsePlace(text: string): DrivePlace | undefined {
  const colon = text.endsWith(':') ? text.length - 1 : text.indexOf(':/');
  if (colon <= 0) return undefined;
  const drive = text.slice(0, colon);
  const stat = statSync(drive, { throwIfNoEntry: false });
  if (stat?.isFile()) return { drive, path: text.slice(colon + 1) || '/' };
  if (!/\.(?:qcow2|img)$/.test(drive)) return undefined;
  throw new UserError(
    `cannot open drive ${drive}: ${stat ? 'it is not a regular file' : 'there is no such file'}`,
  );
}

/** @throws UserError for a path of this machine */
export function requirePlace(text: string): DrivePlace {
  const place = parsePlace(text);
  if (place !== undefined) return place;
  throw new UserError(`cannot use ${JSON.stringify(text)}: it names no place on a drive`, {
    hint: 'write DRIVE:/path, for example user_data.qcow2:/training_data',
    status: exitStatus.usage,
  });
}

/** Places that must all be on one drive. @throws UserError */
export function requireOneDrive(texts: readonly string[]): { drive: string; paths: string[] } {
  const places = texts.map(requirePlace);
  const drive = places[0]!.drive;
  if (places.some((place) => place.drive !== drive))
    throw new UserError('cannot work on several drives at once', { status: exitStatus.usage });
  return { drive, paths: places.map(({ path }) => path) };
}

/** `uid:gid`, or `uid` for both. @throws UserError */
export function parseOwner(text: string): { uid: number; gid: number } {
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text);
  const uid = Number(match?.[1]);
  const gid = Number(match?.[2] ?? match?.[1]);
  // The highest number means none.
  if (match !== null && uid < 0xffff_ffff && gid < 0xffff_ffff) return { uid, gid };
  throw new UserError(`cannot use --owner ${JSON.stringify(text)}: it is not uid:gid`, {
    hint: 'numbers, as in --owner 1000:1000: the names of this machine are not those of the VM',
    status: exitStatus.usage,
  });
}
