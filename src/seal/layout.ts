/** Sizes of the sealed root drive, in bytes unless a name says sectors. */
export const sectorBytes = 512;
/** Alignment of every segment, dm-verity's block size and dm-crypt's sector size. */
export const blockBytes = 4096;
/** Room for the LUKS2 header in front of the payload; the copy in the initrd is this long. */
export const luksHeaderBytes = 2 * 1024 * 1024;

/** A vault smaller than this is of no use: dm-integrity's and ext4's own structures take several MiB. */
export const smallestVault = 256 * 1024 * 1024;

/** A file that becomes a part of the sealed payload. */
export interface SegmentSource {
  /** `base`, `site`, `layer0`, `layer1`, … */
  name: string;
  file: string;
  bytes: number;
  /** SHA-256 that it must have, lower-case hex; undefined for what was made in this build. */
  sha256?: string | undefined;
}

/** A segment's place in the payload, in sectors of 512 bytes from the start of the decrypted drive. */
export interface Segment {
  name: string;
  file: string;
  sha256?: string | undefined;
  firstSector: number;
  sectors: number;
}

/** `bytes` rounded up to whole blocks of 4096. */
export function alignBlock(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** Lays segments one behind the other, each on a 4 KiB boundary. `dataBytes` is where the hash tree starts. */
export function layOut(sources: readonly SegmentSource[]): { segments: Segment[]; dataBytes: number } {
  let offset = 0;
  const segments = sources.map(({ name, file, bytes, sha256 }) => {
    const length = alignBlock(bytes);
    const place = { firstSector: offset / sectorBytes, sectors: length / sectorBytes };
    const segment = { name, file, ...(sha256 === undefined ? {} : { sha256 }), ...place };
    offset += length;
    return segment;
  });
  return { segments, dataBytes: offset };
}

/** /etc/cvm/layout of the initrd: `<name> <first sector> <sectors>` a line. */
export function layoutFile(segments: readonly Segment[]): string {
  return segments.map(({ name, firstSector, sectors }) => `${name} ${firstSector} ${sectors}\n`).join('');
}
