/** What the header of an ELF file says. */
export interface ElfFacts {
  /** `e_machine`: 62 is x86-64, 183 AArch64. */
  machine: number;
  /** False where it names an interpreter, and so needs libraries. */
  isStatic: boolean;
}

export const x86_64 = 62;
const programInterpreter = 3;

/** Reads the header of a 64-bit little-endian ELF file (System V ABI, chapter 4); undefined for anything else. */
export function readElf(bytes: Buffer): ElfFacts | undefined {
  const magic = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
  if (bytes.length < 64 || magic.some((byte, index) => bytes[index] !== byte)) return undefined;
  const table = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  let isStatic = true;
  for (let index = 0; index < count; index++) {
    const at = table + index * size;
    if (at + 4 <= bytes.length && bytes.readUInt32LE(at) === programInterpreter) isStatic = false;
  }
  return { machine: bytes.readUInt16LE(18), isStatic };
}

const names: Record<number, string> = {
  3: 'i386',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  183: 'arm64',
  243: 'riscv64',
};

/** Debian's name of an architecture, from `e_machine`. */
export function architecture(machine: number): string {
  return machine === x86_64 ? 'amd64' : (names[machine] ?? `machine ${machine}`);
}
