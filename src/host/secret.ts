import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

const hidden = '[secret]';

/**
 * Bytes that must never be printed. Every way of turning it into text by accident (template strings,
 * JSON, console.log) yields `[secret]`; only {@link reveal} gives the bytes.
 */
export class Secret {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The bytes themselves. Hand them to a pipe or to the one file meant for them, nowhere else. */
  reveal(): Buffer {
    return this.#bytes;
  }

  /** Overwrites the bytes in memory. */
  wipe(): void {
    this.#bytes.fill(0);
  }

  toString(): string {
    return hidden;
  }

  toJSON(): string {
    return hidden;
  }

  [inspect.custom](): string {
    return hidden;
  }
}

/**
 * A new disk key: 512 random bits as 128 lower-case hex digits, no newline. ASCII because some key
 * brokers' stores refuse bytes that are not UTF-8.
 */
export function newDiskKey(): Secret {
  const random = randomBytes(64);
  const key = Buffer.from(random.toString('hex'), 'ascii');
  random.fill(0);
  return new Secret(key);
}
