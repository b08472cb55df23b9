import type { Firmware, FpuState, Vmm } from '../measure/index.ts';

/** Where the content of a file comes from. */
export type Origin =
  /** What was measured when the bundle was built. */
  | { kind: 'manifest' }
  /** What lies in the bundle's folder now, and is not what was measured. */
  | { kind: 'folder' }
  /** A file that the user offered. */
  | { kind: 'offered'; name: string }
  /** A file of this machine, as people would call it. */
  | { kind: 'machine'; name: string }
  /** No file at all. */
  | { kind: 'none' };

/** How a command line came about. */
export type CommandLineEdit =
  | { kind: 'measured' }
  /** As launch_vm.sh has it now. */
  | { kind: 'script' }
  /** As the user offered it. */
  | { kind: 'offered' }
  | { kind: 'without'; parameter: string }
  | { kind: 'with'; parameter: string }
  /** What the firmware adds for the guest, which is not measured. */
  | { kind: 'firmware' }
  | { kind: 'newline' }
  | { kind: 'blank' }
  | { kind: 'empty' };

/** All that a launch digest rests on, beside the number of vCPUs. */
export interface Assumptions {
  /** `image` is undefined where no file with this SHA-256 (lower-case hex) is at hand. */
  firmware: { sha256: string; image: Firmware | undefined; origin: Origin };
  vmm: Vmm;
  fpuState: FpuState;
  /** CPUID Fn0000_0001_EAX, and QEMU's names for CPUs with it; `host` for `-cpu host` on the report's machine. */
  cpu: { signature: number; names: readonly string[] };
  /** SEV_FEATURES. */
  guestFeatures: bigint;
  kernelHashes: 'on' | 'off';
  /** SHA-256 in lower-case hex. */
  kernel: { sha256: string; origin: Origin };
  initrd: { sha256: string; origin: Origin };
  commandLine: { text: string; edit: CommandLineEdit };
}

export type Dimension = keyof Assumptions;

/** One value to try. */
export interface Candidate<Value> {
  value: Value;
  /** Of values that are seldom seen, which are tried in fewer combinations; 0 unless told otherwise. */
  rarity?: 1 | 2;
  /** Largest vCPU count that makes sense with it. */
  mostVcpus?: number;
}

/** The values to try. The first of each is the expected one. */
export type Candidates = { readonly [D in Dimension]: readonly Candidate<Assumptions[D]>[] };

/** An assumption that does not hold. */
export type Difference =
  | { [D in Dimension]: { dimension: D; expected: Assumptions[D]; found: Assumptions[D] } }[Dimension]
  /** `expected`: the counts that were measured. */
  | { dimension: 'vcpus'; expected: readonly number[]; found: number };
