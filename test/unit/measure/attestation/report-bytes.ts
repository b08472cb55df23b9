/** Fields of a report by their literal offset; each is written as it is given. */
export type Writes = Readonly<Record<number, readonly number[] | Buffer>>;

const fill = (size: number, value: number) => Buffer.alloc(size, value);
const filled = (size: number, first: number) =>
  Buffer.from(Array.from({ length: size }, (_, index) => (first + index) % 256));

export const measurement = filled(48, 0x60);

/** A report of a Genoa machine (version 3) in which every field has bytes of its own. Offsets are AMD 56860's. */
export function reportBytes(writes: Writes = {}): Buffer {
  const report = Buffer.alloc(1184);
  const fields: Writes = {
    0: [3, 0, 0, 0],
    4: [7, 0, 0, 0],
    8: [0x1f, 0x01, 0x03, 0, 0, 0, 0, 0],
    16: fill(16, 0xf1),
    32: fill(16, 0xf2),
    48: [0, 0, 0, 0],
    52: [1, 0, 0, 0],
    56: [4, 1, 0, 0, 0, 0, 22, 213],
    64: [0x25, 0, 0, 0, 0, 0, 0, 0],
    72: [0, 0, 0, 0],
    80: filled(64, 1),
    144: measurement,
    192: fill(32, 0xd0),
    224: fill(48, 0xd1),
    272: fill(48, 0xd2),
    320: fill(32, 0xd3),
    352: fill(32, 0xff),
    384: [3, 2, 0, 0, 0, 0, 21, 212],
    392: [0x19, 0x11, 0x01],
    416: filled(64, 0x80),
    480: [2, 3, 0, 0, 0, 0, 20, 211],
    488: [30, 55, 1],
    492: [29, 54, 1],
    496: [1, 4, 0, 0, 0, 0, 19, 210],
    672: fill(144, 0x99),
    ...writes,
  };
  for (const [offset, bytes] of Object.entries(fields)) Buffer.from(bytes).copy(report, Number(offset));
  return report;
}
