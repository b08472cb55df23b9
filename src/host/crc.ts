import { crc32 } from 'node:zlib';

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value >>> 0;
});

/** CRC-32C (Castagnoli, reflected) as ext4 uses it: from `seed`, without the final inversion. */
export function crc32c(seed: number, bytes: Uint8Array): number {
  let value = seed >>> 0;
  for (let i = 0; i < bytes.length; i++) value = table[(value ^ bytes[i]!) & 0xff]! ^ (value >>> 8);
  return value >>> 0;
}

/** CRC-32 as LVM2 uses it: from its own start value, without the final inversion (lib/misc/crc.c). */
export function lvmCrc(bytes: Uint8Array): number {
  const start = 0xf597_a6cf;
  return (crc32(bytes, (start ^ 0xffff_ffff) >>> 0) ^ 0xffff_ffff) >>> 0;
}
