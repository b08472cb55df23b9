import type { KernelConfig } from './kernel-config.ts';
import { findInKernel, type KernelImage } from './kernel-image.ts';

/** What matters of a kernel beyond what it must have. */
export interface KernelFacts {
  /** `uname -r`. */
  release: string;
  /** Its own words on version and build. */
  banner: string | undefined;
  /** Whether a SEV-SNP guest stops at boot where RDRAND gives nothing; undefined where it could not be found out. */
  stopsWithoutRdrand: boolean | undefined;
  /** Whether 32-bit system calls are off: built without them, or `ia32_emulation=0` is understood. */
  no32Bit: boolean | undefined;
}

/** The panic of arch/x86/coco/core.c, cc_random_init(): Linux 6.9, and the stable releases of April 2024. */
const rdrandPanic = 'RDRAND is defective';
/** The parameter's name, in Linux 6.7 and later. */
const parameter32Bit = 'ia32_emulation';

/** Looks into the kernel image; the version decides where it cannot be unpacked. Takes half a second or so. */
export async function kernelFacts(
  release: string,
  image: KernelImage | undefined,
  config: KernelConfig | undefined,
  signal?: AbortSignal,
): Promise<KernelFacts> {
  const found = image && (await findInKernel(image, [rdrandPanic, parameter32Bit], signal));
  const without32Bit = config !== undefined && !config.has('IA32_EMULATION');
  return {
    release,
    banner: image?.banner,
    stopsWithoutRdrand: found?.has(rdrandPanic) ?? atLeast(release, [6, 9]),
    no32Bit: without32Bit || (found?.has(parameter32Bit) ?? atLeast(release, [6, 7])),
  };
}

/** True from a mainline release on; undefined before it, since a distribution may have taken the change over. */
function atLeast(release: string, [major, minor]: readonly [number, number]): true | undefined {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  const later = Number(first) > major || (Number(first) === major && Number(second) >= minor);
  return later || undefined;
}

export function factNotes({ stopsWithoutRdrand, no32Bit }: KernelFacts): string[] {
  const notes: string[] = [];
  if (stopsWithoutRdrand !== true) {
    const whether = stopsWithoutRdrand === false ? 'does not stop' : 'may not stop';
    notes.push(
      `the kernel ${whether} where RDRAND gives nothing, and would then run on randomness that the host can see: Linux 6.9, or a stable release since April 2024, stops`,
    );
  }
  if (no32Bit !== true) {
    notes.push(
      'the kernel keeps 32-bit system calls (int 0x80): it has IA32_EMULATION, and knows ia32_emulation=0 only from Linux 6.7 on',
    );
  }
  return notes;
}
