import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { exitStatus, hasCode, messageOf, UserError } from '../host/errors.ts';
import { Secret } from '../host/secret.ts';

/** Bytes of a disk key, and of one that an editor has ended with a line break. */
const keyBytes = 128;

/**
 * Reads a disk key as the hand-off holds it: 128 lower-case hex digits.
 * @throws UserError where the file is none; its content is not shown.
 */
export async function readKeyFile(path: string): Promise<Secret> {
  const cannot = (cause: string) =>
    new UserError(`cannot read the disk key ${path}: ${cause}`, {
      hint: 'name handoff/cvm_<id>/disk.key',
      status: exitStatus.usage,
    });
  const buffer = Buffer.alloc(keyBytes + 2);
  let length: number;
  try {
    // O_NONBLOCK: a FIFO is not waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw cannot('it is not a regular file');
    length = (await file.read(buffer, 0, buffer.length, 0)).bytesRead;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw cannot(hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error));
  }
  const text = buffer.toString('latin1', 0, length).replace(/\n$/, '');
  if (!/^[0-9a-f]{128}$/.test(text)) throw cannot('it does not hold 128 lower-case hex digits');
  return new Secret(buffer.subarray(0, keyBytes));
}
