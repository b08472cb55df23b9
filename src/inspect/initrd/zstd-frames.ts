import type { Blocks } from '../../host/disk/blocks.ts';
import { MalformedError } from '../../host/tar/bytes.ts';

/** A run of bytes of a file. */
export interface Extent {
  offset: number;
  length: number;
}

/*
 * RFC 8878, 3.1.1: magic number, frame header, blocks, optional checksum. Numbers are little-endian.
 */
const magic = 0xfd2fb528;
const mostFrames = 64;

/**
 * Where the zstd frames of an initrd lie: archives that follow one another with zeros between, as the kernel takes them. Only the
 * headers are read.
 * @throws MalformedError at anything else: uncompressed archives, other compressions
 */
export async function zstdFrames(file: Blocks): Promise<Extent[]> {
  const frames: Extent[] = [];
  for (let offset = 0; offset < file.size; ) {
    // Archives begin at multiples of 4 bytes; what fills up is zeros.
    const word = await file.read(offset, Math.min(4, file.size - offset));
    if (word.every((byte) => byte === 0)) {
      offset += word.length;
      continue;
    }
    if (word.length < 4 || word.readUInt32LE() !== magic)
      throw new MalformedError(`it holds something else than zstd archives at byte ${offset}`);
    const end = await frameEnd(file, offset);
    frames.push({ offset, length: end - offset });
    if (frames.length > mostFrames) throw new MalformedError(`it holds more than ${mostFrames} archives`);
    offset = Math.ceil(end / 4) * 4;
  }
  return frames;
}

async function frameEnd(file: Blocks, start: number): Promise<number> {
  const descriptor = (await file.read(start + 4, 1))[0]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  let offset = start + 5 + (singleSegment ? 0 : 1) + dictionary + contentSize;
  for (let last = false; !last; ) {
    const header = (await file.read(offset, 3)).readUIntLE(0, 3);
    const type = (header >> 1) & 3;
    if (type === 3) throw new MalformedError('it holds a damaged zstd archive');
    last = (header & 1) === 1;
    // A block of type 1 is one byte that is repeated.
    offset += 3 + (type === 1 ? 1 : header >> 3);
  }
  return offset + ((descriptor & 4) === 0 ? 0 : 4);
}
