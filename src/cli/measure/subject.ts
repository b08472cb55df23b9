import { join } from 'node:path';
import {
  type BlobHashes,
  type Firmware,
  hashBlobs,
  MeasurementError,
  parseCpu,
  readFirmware,
} from '../../measure/index.ts';
import { countList, hexBytes, type MeasureFlags, modeOf, refuse, unsigned, vmmOf } from './flags.ts';

/** A digest that the bundle's manifest.json promises. */
export interface PromisedDigest {
  vcpus: number;
  hex: string;
}

/** What is to be measured. */
export interface Subject {
  mode: ReturnType<typeof modeOf>;
  vmm: ReturnType<typeof vmmOf>;
  /** Paths as the user wrote them, for the output. */
  files: { firmware: string; kernel?: string | undefined; initrd?: string | undefined };
  firmware: Firmware;
  firmwareDigest: Buffer | undefined;
  blobs: BlobHashes | undefined;
  commandLine: string | undefined;
  vcpus: readonly number[];
  cpus: readonly string[];
  /** Undefined: the library's own. */
  features: readonly bigint[] | undefined;
  /** Digests to compare with: of a bundle that is measured as it was built. */
  promised: readonly PromisedDigest[] | undefined;
}

/** Files and settings of the launch, before anything is read. */
interface Launch {
  ovmf: string;
  kernel?: string | undefined;
  initrd?: string | undefined;
  append?: string | undefined;
  vcpus: readonly number[];
  cpus: readonly string[];
  features?: readonly bigint[] | undefined;
  promised?: readonly PromisedDigest[] | undefined;
}

/** Loose files, all named on the command line: nothing that enters the digest is guessed. @throws UserError */
export function measureFiles(flags: MeasureFlags): Promise<Subject> {
  const { ovmf, kernel, initrd, append } = flags;
  if (ovmf === undefined) refuse('cannot measure: neither a bundle nor --ovmf is given');
  const mode = modeOf(flags.mode);
  if (kernel === undefined && (initrd !== undefined || append !== undefined)) {
    const lone = initrd === undefined ? '--append' : '--initrd';
    refuse(`cannot measure ${lone} without --kernel: only a direct boot measures it`);
  }
  const shapes = mode === 'snp' || mode === 'seves';
  if (shapes && flags.vcpus === undefined)
    refuse(`cannot measure ${mode} without --vcpus`, 'such as --vcpus 1,2,4-8');
  if (shapes && vmmOf(flags.vmm) === 'qemu' && flags.cpu === undefined) {
    refuse(`cannot measure ${mode} without --cpu`, 'such as --cpu EPYC-v4: what QEMU is given as -cpu');
  }
  return read(flags, { ovmf, kernel, initrd, append, vcpus: [], ...shapesOf(flags), cpus: flags.cpu ?? [] });
}

/** A bundle's own files and settings; options take the place of each. @throws UserError */
export async function measureBundle(bundle: string, flags: MeasureFlags): Promise<Subject> {
  // Only bundles need these: the archive reader and the manifest's schema.
  const { openBundle, readManifest } = await import('../../bundle/index.ts');
  const { workDirectory } = await import('../../host/temp.ts');
  await using work = await workDirectory({ bytes: 2 ** 27 });
  const only = ['OVMF.amdsev.fd', 'manifest.json', 'vmlinuz', 'initrd.img'];
  const { folder } = await openBundle(bundle, { workDirectory: work.path, only });
  const { launch } = await readManifest(folder);
  const asBuilt =
    flags.mode === 'snp' &&
    flags.vmm === 'qemu' &&
    [flags.ovmf, flags.ovmfHash, flags.kernel, flags.initrd, flags.append].every(
      (value) => value === undefined,
    ) &&
    [flags.vcpus, flags.cpu, flags.guestFeatures].every((value) => value === undefined);
  const built = { vcpus: launch.vcpus, features: [BigInt(launch.guest_features)] };
  return await read(flags, {
    ovmf: flags.ovmf ?? join(folder, 'OVMF.amdsev.fd'),
    kernel: flags.kernel ?? join(folder, 'vmlinuz'),
    initrd: flags.initrd ?? join(folder, 'initrd.img'),
    append: flags.append ?? launch.cmdline,
    ...built,
    ...shapesOf(flags),
    cpus: flags.cpu ?? [launch.cpu],
    promised: asBuilt ? launch.digests : undefined,
  });
}

/** What the options say of counts and features; what they leave open is not set. */
function shapesOf({ vcpus, guestFeatures }: MeasureFlags): { vcpus?: number[]; features?: bigint[] } {
  const features = guestFeatures?.map((text) => unsigned('--guest-features', text, 64));
  return {
    ...(vcpus === undefined ? {} : { vcpus: countList('--vcpus', vcpus) }),
    ...(features === undefined ? {} : { features }),
  };
}

async function read(flags: MeasureFlags, launch: Launch): Promise<Subject> {
  const { ovmf, kernel, initrd, append } = launch;
  for (const cpu of flags.cpu ?? []) checkCpu(cpu);
  const mode = modeOf(flags.mode);
  const vmm = vmmOf(flags.vmm);
  if (flags.ovmfHash !== undefined && mode !== 'snp') {
    refuse(`cannot use --ovmf-hash in mode ${mode}: only snp goes on from it`);
  }
  const firmwareDigest =
    flags.ovmfHash === undefined ? undefined : hexBytes('--ovmf-hash', flags.ovmfHash, 48);
  const target = vmm === 'qemu' && mode.startsWith('snp') ? 'qemu' : 'any';
  const [firmware, blobs] = await Promise.all([
    readFirmware(ovmf, { target }),
    kernel === undefined ? undefined : hashBlobs({ kernel, initrd, commandLine: append }),
  ]);
  return {
    mode,
    vmm,
    files: { firmware: ovmf, kernel, initrd },
    firmware,
    firmwareDigest,
    blobs,
    commandLine: append,
    vcpus: launch.vcpus,
    cpus: launch.cpus,
    features: launch.features,
    promised: launch.promised,
  };
}

function checkCpu(cpu: string): void {
  try {
    parseCpu(cpu);
  } catch (error) {
    throw error instanceof MeasurementError ? refuse(error.message) : error;
  }
}
