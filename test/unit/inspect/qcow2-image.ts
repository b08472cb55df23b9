/** A qcow2 of one megabyte whose first table leads to the second at 0x30000. */
export function qcow2Image(change: (file: Buffer) => void = () => {}): Buffer {
  const file = Buffer.alloc(0x60000);
  file.write('QFI\xfb', 0, 'latin1');
  file.writeUInt32BE(3, 4);
  file.writeUInt32BE(16, 20);
  file.writeBigUInt64BE(2n ** 20n, 24);
  file.writeUInt32BE(1, 36);
  file.writeBigUInt64BE(0x20000n, 40);
  file.writeBigUInt64BE(0x30000n | (1n << 63n), 0x20000);
  file.writeBigUInt64BE(0x40000n | (1n << 63n), 0x30000);
  file.writeBigUInt64BE(0x50000n | (1n << 63n), 0x30010);
  file.fill(1, 0x40000, 0x50000);
  file.fill(2, 0x50000);
  change(file);
  return file;
}
