import { pageSize } from './page.ts';

/** Who starts the virtual machine; each fills the save area of a new vCPU in its own way. */
export type Vmm = 'qemu' | 'ec2' | 'gce';

/**
 * Whether a host's KVM copies the reset values of MXCSR and FCW into the save areas of QEMU's vCPUs: `synced`, as
 * Linux does since 6.10; `zero`, as AMD's kernels outside of Linux (up to 6.8) leave them; `zero-on-aps`, where QEMU
 * 10.1 and later hands in empty ones for all vCPUs but the first.
 */
export type FpuState = 'synced' | 'zero' | 'zero-on-aps';

/** VM Save Area address in every launch digest: KVM's fixed INITIAL_VMSA_GPA. */
export const vmsaGpa = 0x0000_ffff_ffff_f000;

/** The bootstrap processor starts at the reset vector; all the others start where the firmware says. */
const bspResetAddress = 0xffff_fff0;

/**
 * Where a VM Save Area holds what; AMD APM volume 2, appendix B, table B-4. Little-endian. A segment is u16
 * selector, u16 attributes, u32 limit, u64 base.
 */
const layout = {
  es: [0x000, 'segment'],
  cs: [0x010, 'segment'],
  ss: [0x020, 'segment'],
  ds: [0x030, 'segment'],
  fs: [0x040, 'segment'],
  gs: [0x050, 'segment'],
  gdtr: [0x060, 'segment'],
  ldtr: [0x070, 'segment'],
  idtr: [0x080, 'segment'],
  tr: [0x090, 'segment'],
  efer: [0x0d0, 'u64'],
  cr4: [0x148, 'u64'],
  cr0: [0x158, 'u64'],
  dr7: [0x160, 'u64'],
  dr6: [0x168, 'u64'],
  rflags: [0x170, 'u64'],
  rip: [0x178, 'u64'],
  gPat: [0x268, 'u64'],
  rdx: [0x310, 'u64'],
  sevFeatures: [0x3b0, 'u64'],
  xcr0: [0x3e8, 'u64'],
  mxcsr: [0x408, 'u32'],
  x87Fcw: [0x410, 'u16'],
} as const;

interface Segment {
  selector: number;
  attributes: number;
  limit: number;
  base: number;
}

type Fields = {
  [Name in keyof typeof layout]: (typeof layout)[Name][1] extends 'segment' ? Segment : bigint;
};

export interface VmsaInput {
  vmm: Vmm;
  /** CPUID Fn0000_0001_EAX. Only QEMU puts it into the page; the others have a constant there. */
  signature: number;
  /** SEV_FEATURES, 64 bits; zero for SEV-ES. */
  features: bigint;
  /** `synced` unless told otherwise. Only QEMU's pages differ by it: the others' are always zero. */
  fpuState?: FpuState | undefined;
}

/** EC2's and GCE's RDX at reset. */
const cloudRdx = 0x600n;

/**
 * What a VMM does otherwise than QEMU. MXCSR and FCW are zero where the host does not copy the FPU state
 * into the page.
 */
const variations: Record<Vmm, { csBsp: number; ss: number; tr: number; gPat: bigint; fpu: boolean }> = {
  qemu: { csBsp: 0x9b, ss: 0x93, tr: 0x8b, gPat: 0x0007_0406_0007_0406n, fpu: true },
  ec2: { csBsp: 0x9a, ss: 0x92, tr: 0x83, gPat: 0x0007_0406_0007_0406n, fpu: false },
  gce: { csBsp: 0x9b, ss: 0x93, tr: 0x8b, gPat: 0x0000_0000_0007_0106n, fpu: false },
};

const segment = (attributes: number, selector = 0, base = 0): Segment => ({
  selector,
  attributes,
  limit: 0xffff,
  base,
});

function fields(input: VmsaInput, address: number, csAttributes: number, fpu: boolean): Fields {
  const own = variations[input.vmm];
  const data = segment(0x93);
  return {
    es: data,
    cs: segment(csAttributes, 0xf000, (address & 0xffff_0000) >>> 0),
    ss: segment(own.ss),
    ds: data,
    fs: data,
    gs: data,
    gdtr: segment(0),
    ldtr: segment(0x82),
    idtr: segment(0),
    tr: segment(own.tr),
    efer: 0x1000n, // SVME, set by KVM
    cr4: 0x40n, // MCE, set by KVM
    cr0: 0x10n, // KVM clears CD and NW of the architectural 0x60000010
    dr7: 0x400n,
    dr6: 0xffff_0ff0n,
    rflags: 0x2n,
    rip: BigInt(address & 0xffff),
    gPat: own.gPat,
    rdx: input.vmm === 'qemu' ? BigInt(input.signature) : cloudRdx,
    sevFeatures: input.features,
    xcr0: 1n,
    mxcsr: fpu ? 0x1f80n : 0n,
    x87Fcw: fpu ? 0x37fn : 0n,
  };
}

function write(page: Buffer, values: Fields): void {
  for (const [name, [offset, kind]] of Object.entries(layout)) {
    const value = values[name as keyof Fields];
    if (typeof value === 'object') {
      page.writeUInt16LE(value.selector, offset);
      page.writeUInt16LE(value.attributes, offset + 2);
      page.writeUInt32LE(value.limit, offset + 4);
      page.writeBigUInt64LE(BigInt(value.base), offset + 8);
    } else if (kind === 'u64') {
      page.writeBigUInt64LE(value, offset);
    } else if (kind === 'u32') {
      page.writeUInt32LE(Number(value), offset);
    } else {
      page.writeUInt16LE(Number(value), offset);
    }
  }
}

/** The 4096-byte save area of the bootstrap processor, vCPU 0. */
export function bspVmsa(input: VmsaInput): Buffer {
  const page = Buffer.alloc(pageSize);
  const { csBsp, fpu } = variations[input.vmm];
  write(page, fields(input, bspResetAddress, csBsp, fpu && input.fpuState !== 'zero'));
  return page;
}

/**
 * The 4096-byte save area that all other vCPUs share.
 * @param resetAddress the firmware's SEV-ES reset block, u32
 */
export function apVmsa(input: VmsaInput, resetAddress: number): Buffer {
  const page = Buffer.alloc(pageSize);
  const { vmm, fpuState = 'synced' } = input;
  write(page, fields(input, resetAddress, 0x9b, variations[vmm].fpu && fpuState === 'synced'));
  return page;
}
