import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  isQcow2,
  parseQcow2Header,
  type Qcow2Header,
  qcow2BackingName,
  qcow2HeaderBytes,
} from '../host/disk/qcow2-header.ts';
import { hasCode, UserError } from '../host/errors.ts';
import { openRegularFile } from '../host/files.ts';
import { MalformedError } from '../host/tar/bytes.ts';

const hostile = 'do not trust this drive: no builder makes one like it';

/**
 * Reads a qcow2 header and refuses every drive that is more than its own file. It is done before any tool opens the
 * drive, because a hostile one may name a file of this machine as its backing or data file, and `qemu-img info` opens
 * the latter already.
 * @param ownBacking the one name of a backing file that is let pass
 * @param place where the file is opened, where that is not its name
 * @throws UserError where the file is no plain self-contained qcow2 drive.
 */
export async function readQcow2Header(
  drive: string,
  ownBacking?: string,
  place = drive,
): Promise<Qcow2Header> {
  const refuse = (cause: string, hint?: string) =>
    new UserError(`cannot read drive ${drive}: ${cause}`, hint === undefined ? {} : { hint });
  await using file = await openRegularFile(place).catch((error: unknown) => {
    if (hasCode(error, 'EISDIR')) throw refuse('it is not a regular file');
    throw refuse(hasCode(error, 'ENOENT') ? 'there is no such file' : (error as Error).message);
  });
  const head = await headOf(file);
  if (!isQcow2(head)) throw refuse('it is not a qcow2 drive');
  const backing = await backingNameIn(file, head);
  if (backing !== undefined && backing !== ownBacking) {
    const cut = backing === overlayBackingName(drive);
    const again = 'a resize of it was cut short: `cvm drive resize` with the same size completes it';
    throw refuse('it names a backing file', cut ? again : hostile);
  }
  try {
    return parseQcow2Header(head);
  } catch (error) {
    throw error instanceof MalformedError ? refuse(error.message, hostile) : error;
  }
}

/**
 * The backing file that a drive names in the last moments of a resize: a name beside it. `./` keeps a colon in it from being
 * taken for a protocol.
 */
export function overlayBackingName(drive: string): string {
  return `./.${basename(drive)}.resize-base`;
}

/**
 * Name of the backing file as the header of a qcow2 drive gives it, a hostile one perhaps; undefined where it names none, or
 * is no qcow2 drive.
 */
export async function readBackingName(drive: string): Promise<string | undefined> {
  await using file = await openRegularFile(drive);
  const head = await headOf(file);
  return isQcow2(head) ? backingNameIn(file, head) : undefined;
}

async function headOf(file: FileHandle): Promise<Buffer> {
  const head = Buffer.alloc(qcow2HeaderBytes);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  return head.subarray(0, bytesRead);
}

/** Empty where the format's bounds do not hold: at most 1023 bytes, in the first cluster. */
async function backingNameIn(file: FileHandle, head: Buffer): Promise<string | undefined> {
  const place = qcow2BackingName(head);
  if (place === undefined) return undefined;
  if (place.bytes > 1023 || place.offset > 2n ** 21n) return '';
  const name = Buffer.alloc(place.bytes);
  await file.read(name, 0, place.bytes, Number(place.offset));
  return name.toString('utf8');
}
