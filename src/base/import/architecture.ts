import { UserError } from '../../host/errors.ts';
import { readTreeFile, type Tree } from './tree.ts';

/** Programs that every system has one of. */
export const sampledPrograms = ['usr/lib/systemd/systemd', 'usr/bin/dash', 'usr/bin/bash', 'usr/bin/busybox'];

const largestProgram = 64 * 1024 * 1024;
const x86_64 = 62;
/** `e_machine` of the ELF header (System V ABI, and its supplements for each processor). */
const machines: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'mips',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  183: 'arm64',
  243: 'riscv64',
  258: 'loongarch64',
};

/** Refuses a system for another processor. @throws UserError */
export async function checkArchitecture(tree: Tree, image: string): Promise<void> {
  for (const path of sampledPrograms) {
    const head = await readTreeFile(tree, path, largestProgram);
    if (head === undefined || head.length < 20 || head.toString('latin1', 0, 4) !== '\x7fELF') continue;
    const machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
    if (machine === x86_64) return;
    throw new UserError(
      `cannot import ${image}: it is a system for ${machines[machine] ?? `ELF machine ${machine}`}, not for x86-64`,
      { hint: 'SEV-SNP needs an amd64 system: install Ubuntu or Debian for amd64' },
    );
  }
}
