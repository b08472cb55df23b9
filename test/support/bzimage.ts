import { gzipSync } from 'node:zlib';

/** A bzImage as its set-up header says it (protocol 2.15): one sector of set-up, then the compressed kernel. */
export function bzImage(
  banner: string,
  kernel: string,
  compress: (bytes: Buffer) => Buffer = gzipSync,
): Buffer {
  const payload = compress(Buffer.from(kernel, 'latin1'));
  const head = Buffer.alloc(4096);
  head[0x1f1] = 7; // set-up sectors after the first
  head.write('HdrS', 0x202, 'latin1');
  head.writeUInt16LE(0x20f, 0x206);
  head.writeUInt16LE(0x600, 0x20e); // banner at 0x200 + 0x600
  head.writeUInt16LE(1, 0x236); // 64-bit entry point
  head.writeUInt32LE(16, 0x248);
  head.writeUInt32LE(payload.length, 0x24c);
  head.write(`${banner}\0`, 0x800, 'latin1');
  return Buffer.concat([head, Buffer.alloc(16, 0xcc), payload, Buffer.alloc(8, 0xcc)]);
}
