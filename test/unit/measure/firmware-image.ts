import { guidBytes } from '../../../src/measure/guid.ts';

export const resetBlockGuid = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';
export const hashTableGuid = '7255371f-3a3b-4b04-927b-1da6efa8d454';
export const metadataGuid = 'dc886566-984a-4798-a75e-5585a7bf67cc';
const footerGuid = '96b582de-1fb2-45f7-baea-a366c55a082d';

export const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
};

export interface ImageParts {
  size?: number;
  /** Footer table entries, nearest to the footer first. */
  entries?: (readonly [guid: string, data: Buffer])[];
  /** GPA, size, type. */
  sections?: (readonly [number, number, number])[];
  /** Bytes from the end of the file to the metadata header. */
  metadataDistance?: number;
}

/** Sections of a Debian AmdSev build. */
export const usualSections: (readonly [number, number, number])[] = [
  [0x800000, 0x9000, 1],
  [0x80a000, 0x3000, 1],
  [0x80d000, 0x1000, 2],
  [0x80e000, 0x1000, 3],
  [0x80f000, 0x1000, 4],
  [0x811000, 0x1f000, 1],
  [0x810000, 0x1000, 0x10],
];

export const usualEntries: (readonly [string, Buffer])[] = [
  [resetBlockGuid, words(0x80b004)],
  [hashTableGuid, words(0x810c00, 0x400)],
  [metadataGuid, words(0x2000)],
];

/** File offset of the metadata header of {@link firmwareImage} with usual parts. */
export const metadataOffset = 65_536 - 0x2000;

/** An OVMF image of zeros with a footer table and SEV metadata; sound unless told otherwise. */
export function firmwareImage(parts: ImageParts = {}): Buffer {
  const {
    size = 65_536,
    entries = usualEntries,
    sections = usualSections,
    metadataDistance = 0x2000,
  } = parts;
  const image = Buffer.alloc(size);
  let end = size - 32 - 18;
  const footer = end;
  for (const [guid, data] of entries) {
    guidBytes(guid).copy(image, end - 16);
    image.writeUInt16LE(data.length + 18, end - 18);
    data.copy(image, end - 18 - data.length);
    end -= 18 + data.length;
  }
  image.writeUInt16LE(footer + 18 - end, footer);
  guidBytes(footerGuid).copy(image, footer + 2);
  const metadata = size - metadataDistance;
  image.write('ASEV', metadata, 'latin1');
  words(16 + sections.length * 12, 1, sections.length).copy(image, metadata + 4);
  for (const [index, section] of sections.entries())
    words(...section).copy(image, metadata + 16 + index * 12);
  return image;
}
