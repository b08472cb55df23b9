import type { Writable } from 'node:stream';

/** A stream that may be closed by its reader at any time without harm to the build. */
export class Output {
  readonly #stream: Writable;
  #open = true;
  #bytes = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
    // EPIPE (the reader has gone) and EIO (the terminal was hung up): nobody is left to tell.
    stream.on('error', () => {
      this.#open = false;
    });
  }

  /** Bytes written so far, whether or not anybody reads them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes the text as it is, in one call, so that lines of two processes do not mix. */
  write(text: string): void {
    this.#bytes += Buffer.byteLength(text);
    if (!this.#open || this.#stream.writableEnded) return;
    try {
      this.#stream.write(text);
    } catch {
      this.#open = false;
    }
  }
}
