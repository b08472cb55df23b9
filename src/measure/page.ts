import { hash } from 'node:crypto';

/** Bytes in a page; regions are always measured in steps of this size, large pages never appear. */
export const pageSize = 4096;

/** Bytes in a launch digest (SHA-384). */
export const digestSize = 48;

/** PAGE_TYPE values; SEV-SNP firmware ABI specification (AMD 56860), SNP_LAUNCH_UPDATE. */
export const pageTypes = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;

export type PageType = keyof typeof pageTypes;

/**
 * PAGE_INFO, the 112 bytes hashed for each page; AMD 56860, "PAGE_INFO structure". Little-endian. What is
 * not named stays zero: IMI_PAGE at 0x63, VMPL3 to VMPL1 permissions at 0x64 to 0x66.
 */
const pageInfo = {
  digestCur: 0x00,
  contents: 0x30,
  length: 0x60,
  pageType: 0x62,
  gpa: 0x68,
  size: 0x70,
} as const;

const noContents = Buffer.alloc(digestSize);

/** SHA-384 of the bytes of a page. */
export function hashPage(page: Buffer): Buffer {
  return hash('sha384', page, 'buffer');
}

/**
 * The launch digest while it grows: each page makes it SHA-384(PAGE_INFO), where PAGE_INFO holds the
 * digest so far, the hash of the page, its type and its address. There is no closing step.
 */
export class PageChain {
  /** One PAGE_INFO for the life of the chain; its first 48 bytes are the digest itself. */
  readonly #info = Buffer.alloc(pageInfo.size);
  readonly #view = new DataView(this.#info.buffer, this.#info.byteOffset, pageInfo.size);

  /** @param seed digest to go on from; 48 zero bytes begin a launch. */
  constructor(seed: Buffer = noContents) {
    seed.copy(this.#info, pageInfo.digestCur, 0, digestSize);
    this.#info.writeUInt16LE(pageInfo.size, pageInfo.length);
  }

  /**
   * Adds one page.
   * @param contents SHA-384 of its bytes for `normal` and `vmsa`; the other types measure none.
   */
  add(type: PageType, gpa: number, contents: Buffer = noContents): void {
    const info = this.#info;
    contents.copy(info, pageInfo.contents);
    info[pageInfo.pageType] = pageTypes[type];
    this.#writeAddress(gpa);
    // Hex costs less than a Buffer for each digest.
    info.write(hash('sha384', info, 'hex'), pageInfo.digestCur, digestSize, 'hex');
  }

  /** Adds consecutive `normal` pages. `bytes` must be whole pages. */
  addBytes(gpa: number, bytes: Buffer): void {
    const info = this.#info;
    info[pageInfo.pageType] = pageTypes.normal;
    for (let offset = 0; offset < bytes.length; offset += pageSize) {
      const page = bytes.subarray(offset, offset + pageSize);
      info.write(hash('sha384', page, 'hex'), pageInfo.contents, digestSize, 'hex');
      this.#writeAddress(gpa + offset);
      info.write(hash('sha384', info, 'hex'), pageInfo.digestCur, digestSize, 'hex');
    }
  }

  /** Adds consecutive pages of a type whose bytes are not measured. */
  addRange(type: PageType, gpa: number, size: number): void {
    for (let offset = 0; offset < size; offset += pageSize) this.add(type, gpa + offset);
  }

  #writeAddress(gpa: number): void {
    this.#view.setUint32(pageInfo.gpa, gpa % 2 ** 32, true);
    this.#view.setUint32(pageInfo.gpa + 4, gpa / 2 ** 32, true);
  }

  /** The digest so far: 48 bytes, a copy. */
  digest(): Buffer {
    return Buffer.from(this.#info.subarray(pageInfo.digestCur, digestSize));
  }
}
