import type { Blocks } from '../../host/disk/blocks.ts';
import type { Secret } from '../../host/secret.ts';
import { decryptXts } from './xts.ts';

/**
 * The decrypted payload of a drive, readable in whole sectors and otherwise.
 * @param offset where the payload starts on the drive, bytes
 * @param sectorBytes dm-crypt's sector size
 */
export function decryptedPayload(
  drive: Blocks,
  volumeKey: Secret,
  { offset, sectorBytes }: { offset: number; sectorBytes: number },
): Blocks {
  const size = Math.max(0, Math.floor((drive.size - offset) / sectorBytes) * sectorBytes);
  return {
    size,
    async read(from, length) {
      const first = Math.floor(from / sectorBytes) * sectorBytes;
      const end = Math.ceil((from + length) / sectorBytes) * sectorBytes;
      const data = await drive.read(offset + first, end - first);
      const plain = decryptXts(volumeKey.reveal(), data, sectorBytes, first);
      return plain.subarray(from - first, from - first + length);
    },
  };
}
