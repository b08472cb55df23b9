/** Security version numbers of a platform's firmware, one for each part of its trusted computing base. */
export interface TcbVersion {
  /** Firmware of the on-die root of trust; from Turin on. */
  fmc?: number;
  bootLoader: number;
  /** The secure processor's operating system. */
  tee: number;
  snp: number;
  /** Lowest patch level of all cores. */
  microcode: number;
}

/** TCB_VERSION, 8 bytes: where each number lies (AMD 56860, "TCB Version"). What is not named is reserved. */
const layouts = {
  milan: { bootLoader: 0, tee: 1, snp: 6, microcode: 7 },
  turin: { fmc: 0, bootLoader: 1, tee: 2, snp: 3, microcode: 7 },
} as const;

/** Which layout a platform has: `milan` is that of Milan and Genoa as well. */
export type TcbLayout = keyof typeof layouts;

/** Reads the TCB_VERSION at an offset. */
export function readTcb(bytes: Buffer, offset: number, layout: TcbLayout): TcbVersion {
  const at = layouts[layout];
  return {
    ...('fmc' in at ? { fmc: bytes[offset + at.fmc]! } : {}),
    bootLoader: bytes[offset + at.bootLoader]!,
    tee: bytes[offset + at.tee]!,
    snp: bytes[offset + at.snp]!,
    microcode: bytes[offset + at.microcode]!,
  };
}
