import { join } from 'node:path';
import { execa } from 'execa';
import type { Case } from './cases.ts';

/** The files of a launch. */
export interface Files {
  ovmf: string;
  kernel: string;
  initrd: string;
}

/** A digest in hex, or why there is none. */
export type Result = { hex: string } | { refused: string };

/** What sev-snp-measure makes of all cases, in their order, in one Python process. */
export async function upstreamDigests(
  folder: string,
  files: Files,
  cases: readonly Case[],
): Promise<{ results: Result[]; cpus: Record<string, number> }> {
  const input = cases.map((one) => ({
    ...one,
    ovmf: files.ovmf,
    kernel: one.kernel ? files.kernel : null,
    initrd: one.initrd ? files.initrd : null,
    append: one.append ?? null,
  }));
  const { stdout } = await execa(join(folder, 'venv/bin/python'), [join(import.meta.dirname, 'digests.py')], {
    input: JSON.stringify(input),
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  });
  return JSON.parse(stdout);
}

/** Output of one of the package's own commands. */
export async function upstreamCommand(
  folder: string,
  command: 'sev-snp-measure' | 'snp-create-id-block',
  args: readonly string[],
): Promise<string> {
  return (await execa(join(folder, 'venv/bin', command), args)).stdout;
}
