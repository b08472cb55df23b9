import { ByteReader, type Bytes, MalformedError } from '../../host/tar/bytes.ts';

/** An entry of a cpio archive. */
export interface CpioEntry {
  /** Without a leading `./`. */
  name: string;
  /** `st_mode`. */
  mode: number;
  size: number;
  /** Its content; what is left of it when the next entry is asked for is skipped. */
  content(): Promise<Buffer>;
}

/*
 * The kernel's Documentation/driver-api/early-userspace/buffer-format.rst: "newc" headers of 110 bytes of ASCII, hexadecimal
 * fields of eight digits after a magic of six. Name and content are each filled up to a multiple of 4 bytes.
 */
const headerBytes = 110;
const field = (index: number) => 6 + index * 8;
const at = { mode: field(1), fileSize: field(6), nameSize: field(11) } as const;
const trailer = 'TRAILER!!!';
const longestName = 4096;

const padding = (bytes: number) => (4 - (bytes % 4)) % 4;

/** Entries of one archive, up to its trailer. @throws MalformedError */
export async function* cpioEntries(source: Bytes): AsyncGenerator<CpioEntry> {
  const reader = new ByteReader(source);
  const exactly = async (length: number): Promise<Buffer> => {
    if (length === 0) return Buffer.alloc(0);
    const found = await reader.exactly(length);
    if (found === undefined) throw new MalformedError('it ends early');
    return found;
  };
  for (;;) {
    const header = (await exactly(headerBytes)).toString('latin1');
    if (!/^07070[12][0-9a-fA-F]{104}$/.test(header)) throw new MalformedError('it is no cpio archive');
    const number = (offset: number) => Number.parseInt(header.slice(offset, offset + 8), 16);
    const [size, nameSize] = [number(at.fileSize), number(at.nameSize)];
    if (nameSize < 1 || nameSize > longestName)
      throw new MalformedError(`it has a name of ${nameSize} bytes`);
    const name = (await exactly(nameSize)).toString('utf8', 0, nameSize - 1).replace(/^\.\//, '');
    await exactly(padding(headerBytes + nameSize));
    if (name === trailer) return;
    let left = size;
    const content = async () => {
      const bytes = await exactly(left);
      left = 0;
      return bytes;
    };
    yield { name, mode: number(at.mode), size, content };
    while (left > 0) {
      const piece = await reader.some(left);
      if (piece === undefined) throw new MalformedError('it ends early');
      left -= piece.length;
    }
    await exactly(padding(size));
  }
}
