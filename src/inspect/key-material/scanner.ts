/** Something in a file that looks like, or is, key material. */
export interface Sighting {
  kind: 'known key' | 'private key';
  /** Bytes from the start of the stream. */
  offset: number;
}

/** Bytes that one match can span, and that are therefore kept of the chunk before. */
const overlap = 1024;
/** Digits of a disk key in its own form. */
const keyDigits = 128;
/** Texts that might be disk keys, of all files together. */
export const mostCandidates = 64;
const mostSightings = 16;

/** The head of a PEM or SSH private key (RFC 7468) with the beginning of its content: programs hold the head alone, as text to look for. */
const privateKey =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----\r?\n(?:[A-Za-z-]+: [^\r\n]{0,200}\r?\n){0,4}(?:\r?\n)?[A-Za-z0-9+/=]{32,}/g;

const isHex = new Uint8Array(256);
for (const digit of '0123456789abcdef') isHex[digit.charCodeAt(0)] = 1;

/**
 * Looks through a stream of bytes, chunk by chunk: for keys that are known, for private keys as text, and for runs of exactly 128
 * hex digits, the form of a disk key.
 */
export class KeyScanner {
  readonly sightings: Sighting[] = [];
  readonly #needles: readonly Buffer[];
  readonly #candidates: Set<string>;
  #tail: Buffer = Buffer.alloc(0);
  #position = 0;

  /**
   * @param needles bytes that must not be there, at most 1 KiB each
   * @param candidates gets the runs of 128 hex digits, up to one more than {@link mostCandidates}
   */
  constructor(needles: readonly Buffer[], candidates: Set<string>) {
    this.#needles = needles;
    this.#candidates = candidates;
  }

  /** The next bytes. */
  push(chunk: Buffer): void {
    const data = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const start = this.#position - this.#tail.length;
    for (const needle of this.#needles) {
      const at = data.indexOf(needle);
      if (at !== -1) this.#see('known key', start + at);
    }
    if (data.indexOf('PRIVATE KEY') !== -1) {
      for (const { index } of data.toString('latin1').matchAll(privateKey))
        this.#see('private key', start + index);
    }
    this.#findDigits(data);
    this.#position += chunk.length;
    this.#tail = Buffer.from(data.subarray(Math.max(0, data.length - overlap)));
  }

  /** Every run of 128 digits has one at a multiple of 128: the others need not be looked at. */
  #findDigits(data: Buffer): void {
    for (let at = 0; at < data.length; at += keyDigits) {
      if (isHex[data[at]!] === 0) continue;
      let from = at;
      while (from > 0 && at - from < keyDigits && isHex[data[from - 1]!] === 1) from -= 1;
      let to = at;
      while (to < data.length && to - from <= keyDigits && isHex[data[to]!] === 1) to += 1;
      if (to - from === keyDigits && this.#candidates.size <= mostCandidates)
        this.#candidates.add(data.toString('latin1', from, to));
    }
  }

  #see(kind: Sighting['kind'], offset: number): void {
    const known = this.sightings.some((sighting) => sighting.kind === kind && sighting.offset === offset);
    if (!known && this.sightings.length < mostSightings) this.sightings.push({ kind, offset });
  }
}
