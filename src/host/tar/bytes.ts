/** Input that ended early or is not what its headers say. Callers wrap it in a UserError that names the file. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
}

/** Any stream of byte chunks: a file, a decompressor, the body of a tar entry. */
export type Bytes = AsyncIterable<Uint8Array>;

const asBuffer = (chunk: Uint8Array) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);

/** Pulls exact amounts of bytes from a stream, holding at most one of its chunks. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: Bytes) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done) return false;
      this.#chunk = asBuffer(next.value);
    }
    return true;
  }

  #cut(length: number): Buffer {
    const piece = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(piece.length);
    return piece;
  }

  /** The next 1 to `limit` bytes, or undefined at the end of the stream. */
  async some(limit: number): Promise<Buffer | undefined> {
    if (this.#chunk.length === 0 && !(await this.#fill())) return undefined;
    return this.#cut(limit);
  }

  /**
   * Exactly `length` bytes, or undefined where the stream ended before the first of them.
   * @throws MalformedError where it ends in between.
   */
  async exactly(length: number): Promise<Buffer | undefined> {
    const first = await this.some(length);
    if (first === undefined || first.length === length) return first;
    const pieces = [first];
    for (let have = first.length; have < length; ) {
      const piece = await this.some(length - have);
      if (piece === undefined) throw new MalformedError('it ends early');
      pieces.push(piece);
      have += piece.length;
    }
    return Buffer.concat(pieces, length);
  }

  /** Reads to the end and forgets what it reads. */
  async drain(): Promise<void> {
    while ((await this.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** Ends the stream where it is: what feeds it, perhaps a running program, waits for a reader otherwise. */
  async close(): Promise<void> {
    this.#chunk = Buffer.alloc(0);
    await this.#source.return?.();
  }
}

/** The first up to `length` bytes of a stream, which is closed after them. */
export async function headOf(source: Bytes, length: number): Promise<Buffer> {
  const reader = new ByteReader(source);
  try {
    return await first(reader, length);
  } finally {
    await reader.close();
  }
}

async function first(reader: ByteReader, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let have = 0;
  while (have < length) {
    const piece = await reader.some(length - have);
    if (piece === undefined) break;
    pieces.push(piece);
    have += piece.length;
  }
  return Buffer.concat(pieces);
}

/**
 * Looks at up to `length` first bytes of a stream; `all` yields the whole of it, those bytes included, and closes it even
 * where nothing was asked of `all` yet.
 */
export async function peek(source: Bytes, length: number): Promise<{ head: Buffer; all: Bytes }> {
  const reader = new ByteReader(source);
  const head = await first(reader, length);
  let next: Buffer | undefined = head.length > 0 ? head : undefined;
  const rest: AsyncIterator<Uint8Array> = {
    async next() {
      const value = next ?? (await reader.some(Infinity));
      next = undefined;
      return value === undefined ? { done: true, value: undefined } : { done: false, value };
    },
    async return() {
      next = undefined;
      await reader.close();
      return { done: true, value: undefined };
    },
  };
  return { head, all: { [Symbol.asyncIterator]: () => rest } };
}

/** The whole of a stream, or undefined where it is longer than `limit` bytes (it is read to its end all the same). */
export async function collect(source: Bytes, limit: number): Promise<Buffer | undefined> {
  const pieces: Uint8Array[] = [];
  let have = 0;
  for await (const piece of source) {
    have += piece.length;
    if (have <= limit) pieces.push(piece);
    else pieces.length = 0;
  }
  return have <= limit ? Buffer.concat(pieces) : undefined;
}

/** Joins small chunks until they make `size` bytes: one write to a pipe in place of three for every small file. */
export async function* coalesce(source: Bytes, size = 256 * 1024): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let have = 0;
  for await (const piece of source) {
    pieces.push(piece);
    have += piece.length;
    if (have < size) continue;
    yield pieces.length === 1 ? piece : Buffer.concat(pieces, have);
    pieces = [];
    have = 0;
  }
  if (have > 0) yield Buffer.concat(pieces, have);
}
