import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blocks } from '../../../host/disk/blocks.ts';
import { interruptible } from '../../../host/disk/interruptible.ts';
import { roomIn } from '../../../host/room.ts';
import { run } from '../../../host/run.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';

const chunk = 1 << 20;
const zeros = Buffer.alloc(chunk);

/** Bytes of a drive that differ from what it holds. */
export interface Change {
  /** In bytes; a multiple of the block size, as is the length of the data. */
  offset: number;
  data: Buffer;
}

/**
 * A sparse private file in which e2fsprogs work on the metadata of a drive: blocks are copied from the drive when they are first
 * read here, file content never. What the tools changed is told by a second copy of the same blocks. Nothing reaches the drive
 * from here.
 */
export class WorkImage implements AsyncDisposable {
  /** Path of the file, for the tools. A tool sees only what was read, or loaded, before. */
  readonly path: string;
  readonly #drive: Blocks;
  readonly #blockSize: number;
  readonly #file: FileHandle;
  readonly #before: FileHandle;
  /** Bytes that may still be copied: a small drive can speak of any amount of metadata. */
  #room: number;
  /** A bit for each block. */
  readonly #loaded: Uint8Array;

  private constructor(
    path: string,
    drive: Blocks,
    blockSize: number,
    file: FileHandle,
    before: FileHandle,
    room: number,
  ) {
    this.path = path;
    this.#drive = drive;
    this.#blockSize = blockSize;
    this.#file = file;
    this.#before = before;
    this.#room = room;
    this.#loaded = new Uint8Array(Math.ceil(drive.size / blockSize / 8) + 1);
  }

  /** @param folder private, and empty; it is not filled up */
  static async create(
    folder: string,
    drive: Blocks,
    blockSize: number,
    { signal, room = Number.POSITIVE_INFINITY }: { signal?: AbortSignal | undefined; room?: number } = {},
  ): Promise<WorkImage> {
    const path = join(folder, 'drive');
    const file = await open(path, 'wx+', 0o600);
    const before = await open(join(folder, 'before'), 'wx+', 0o600);
    for (const each of [file, before]) await each.truncate(drive.size);
    const most = await roomIn(folder, room);
    return new WorkImage(path, interruptible(drive, signal), blockSize, file, before, most);
  }

  /** The drive as the work image has it; what is read becomes part of the image. */
  get blocks(): Blocks {
    return {
      size: this.#drive.size,
      read: async (offset, length) => {
        const first = Math.floor(offset / this.#blockSize);
        await this.load(first, Math.ceil((offset + length) / this.#blockSize) - first);
        return await readAll(this.#file, offset, length);
      },
    };
  }

  /** Makes blocks of the drive part of the image. */
  async load(first: number, count: number): Promise<void> {
    const perChunk = chunk / this.#blockSize;
    for (let block = first; block < first + count; ) {
      if (this.#has(block)) {
        block++;
        continue;
      }
      let end = block + 1;
      while (end < first + count && end - block < perChunk && !this.#has(end)) end++;
      const offset = block * this.#blockSize;
      const data = await this.#drive.read(
        offset,
        Math.min((end - block) * this.#blockSize, this.#drive.size - offset),
      );
      if (!data.equals(zeros.subarray(0, data.length))) {
        this.#room -= 2 * data.length;
        if (this.#room < 0) throw new MalformedError('it has more metadata than there is room for here');
        await this.#file.write(data, 0, data.length, offset);
        await this.#before.write(data, 0, data.length, offset);
      }
      for (; block < end; block++) this.#own(block);
    }
  }

  #has(block: number): boolean {
    return (this.#loaded[block >>> 3]! & (1 << (block & 7))) !== 0;
  }

  /** Tells the image of bytes that were written to the drive past it. */
  async wroteToDrive(offset: number, data: Buffer): Promise<void> {
    const first = Math.floor(offset / this.#blockSize);
    for (let at = 0; at < data.length; at += this.#blockSize) {
      const block = first + at / this.#blockSize;
      if (!this.#has(block)) continue;
      const length = Math.min(this.#blockSize, data.length - at);
      await this.#file.write(data, at, length, block * this.#blockSize);
      await this.#before.write(data, at, length, block * this.#blockSize);
    }
  }

  /**
   * What the tools changed since the image was made or {@link accept} was called, block by block. To be called whenever a tool
   * has ended: from then on its blocks are the image's own, and reading does not bring the drive's over them.
   */
  async changes(): Promise<Change[]> {
    const text = await run('qemu-img', ['map', '--output=json', '-f', 'raw', this.path]);
    const extents = JSON.parse(text) as { start: number; length: number; data: boolean }[];
    const found: Change[] = [];
    for (const { start, length, data } of extents) {
      if (!data) continue;
      const from = Math.floor(start / this.#blockSize) * this.#blockSize;
      const to = Math.min(this.#drive.size, start + length);
      for (let at = from; at < to; at += chunk) await this.#compare(at, Math.min(chunk, to - at), found);
    }
    return found;
  }

  async #compare(offset: number, length: number, found: Change[]): Promise<void> {
    const [now, before] = await Promise.all([
      readAll(this.#file, offset, length),
      readAll(this.#before, offset, length),
    ]);
    if (now.equals(before)) return;
    for (let at = 0; at < length; at += this.#blockSize) {
      const data = now.subarray(at, at + this.#blockSize);
      if (data.equals(before.subarray(at, at + this.#blockSize))) continue;
      found.push({ offset: offset + at, data });
      this.#own((offset + at) / this.#blockSize);
    }
  }

  #own(block: number): void {
    this.#loaded[block >>> 3]! |= 1 << (block & 7);
  }

  /** Takes changes as what the drive holds. */
  async accept(changes: readonly Change[]): Promise<void> {
    for (const { offset, data } of changes) {
      await this.#file.write(data, 0, data.length, offset);
      await this.#before.write(data, 0, data.length, offset);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await this.#before.close();
  }
}

async function readAll(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let have = 0; have < length; ) {
    const { bytesRead } = await file.read(buffer, have, length - have, offset + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return buffer;
}
