import { closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';

/**
 * An open regular file. node:fs and not node:fs/promises: the latter alone takes as long to load as a kernel takes
 * to hash, and every run of a command pays for it.
 */
export class RegularFile implements Disposable {
  readonly #descriptor: number;
  /** Bytes. */
  readonly size: number;

  /**
   * Opens a file for reading. What is no regular file is refused and never waited for: a FIFO blocks an open without
   * O_NONBLOCK, a device has no end.
   * @throws Error saying why.
   */
  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = fstatSync(this.#descriptor);
    this.size = status.size;
    if (status.isFile()) return;
    this[Symbol.dispose]();
    throw new Error('it is not a regular file');
  }

  /** Fills the buffer from where the last call ended; returns the number of bytes, 0 at the end of the file. */
  read(buffer: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#descriptor, buffer, 0, buffer.length, null, (error, bytesRead) =>
        error === null ? resolve(bytesRead) : reject(error),
      );
    });
  }

  /** All of the file at once. For small files: it blocks. */
  readWhole(): Buffer {
    const bytes = Buffer.allocUnsafe(this.size);
    for (let filled = 0; filled < this.size; ) {
      const count = readSync(this.#descriptor, bytes, filled, this.size - filled, filled);
      if (count === 0) throw new Error(`it ends after ${filled} of ${this.size} bytes`);
      filled += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}
