import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** RFC 1952, 2.3: magic, deflate, no optional fields, no time, no word on the compression, Unix. */
const header = Buffer.from('1f8b0800000000000003', 'hex');
/** RFC 1951, 3.2.4: what one stored block can hold, bytes. */
const mostInBlock = 65_535;

/**
 * Writes a gzip file of stored blocks. Each call is done with its bytes when it returns, so that one buffer does for a file of any size: zlib would copy
 * them, and leave a buffer to be collected for each.
 */
export class StoredGzipFile {
  readonly #file: FileHandle;
  #checksum = 0;
  #size = 0;
  #begun = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: Buffer): Promise<void> {
    const parts: Buffer[] = this.#begun ? [] : [header];
    this.#begun = true;
    for (let at = 0; at < bytes.length; at += mostInBlock) {
      const content = bytes.subarray(at, at + mostInBlock);
      parts.push(blockHeader(content.length, false), content);
    }
    this.#checksum = crc32(bytes, this.#checksum);
    this.#size += bytes.length;
    await this.#all(parts);
  }

  /** Ends the file, and waits until it is on the disk. */
  async end(): Promise<void> {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#checksum);
    trailer.writeUInt32LE(this.#size % 2 ** 32, 4);
    await this.#all([...(this.#begun ? [] : [header]), blockHeader(0, true), trailer]);
    await this.#file.sync();
  }

  async #all(parts: readonly Buffer[]): Promise<void> {
    const wanted = parts.reduce((sum, { length }) => sum + length, 0);
    const { bytesWritten } = await this.#file.writev(parts);
    // A disk that fills up takes a part, then nothing.
    if (bytesWritten < wanted) await this.#file.appendFile(Buffer.concat(parts).subarray(bytesWritten));
  }
}

/** Whether it is the last block; length; its complement. Little-endian. */
function blockHeader(length: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = last ? 1 : 0;
  bytes.writeUInt16LE(length, 1);
  bytes.writeUInt16LE(~length & 0xffff, 3);
  return bytes;
}
