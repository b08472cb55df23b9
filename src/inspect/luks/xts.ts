import { createDecipheriv } from 'node:crypto';

/** dm-crypt counts initialisation vectors in sectors of 512 bytes whatever its own sector size is (`iv_large_sectors` is not set). */
const ivSector = 512;

/**
 * Decrypts whole sectors of `aes-xts-plain64` (IEEE 1619; the tweak is the sector's number, 64 bits, little-endian).
 * @param key two AES-256 keys, 64 bytes
 * @param sectorBytes the unit that is encrypted at once: 512 in a keyslot, 4096 in the payload
 * @param position of the first byte in the encrypted area, bytes
 */
export function decryptXts(key: Buffer, data: Buffer, sectorBytes: number, position: number): Buffer {
  const plain = Buffer.allocUnsafe(data.length);
  const tweak = Buffer.alloc(16);
  for (let offset = 0; offset < data.length; offset += sectorBytes) {
    tweak.writeBigUInt64LE(BigInt((position + offset) / ivSector));
    const cipher = createDecipheriv('aes-256-xts', key, tweak);
    cipher.update(data.subarray(offset, offset + sectorBytes)).copy(plain, offset);
  }
  return plain;
}
