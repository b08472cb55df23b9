import { join } from 'node:path';
import { type Manifest, measureLaunch, readManifest, verifyBundle } from '../bundle/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { readTextFile } from '../host/files.ts';
import { startDevelopmentKbs } from '../kbs/dev-kbs/index.ts';
import { type BlobHashes, readFirmware } from '../measure/index.ts';
import { type BootResult, bootBundle, type Peer } from './boot.ts';

export interface DevelopmentBootOptions {
  /** Folder `cvm_<id>` of a development bundle. */
  folder: string;
  /** Folder of the development registry and of the development KBS's certificates. */
  state: string;
  /** A KBS that runs already, in place of one of our own. */
  kbsUrl?: string | undefined;
  /** Path of OPA, for the development KBS to judge by policy.rego itself. */
  opa?: string | undefined;
  /** One of the measured counts; the smallest that is at least two unless told otherwise. */
  vcpus?: number | undefined;
  memoryGib?: number | undefined;
  accelerator?: 'auto' | 'kvm' | 'tcg' | undefined;
  timeout?: number | undefined;
  portForwards?: readonly { host: number; guest: number }[];
  /** Programs that the guest reaches at {@link peerAddress}, each at its own port. */
  peers?: readonly Peer[];
  /** A private folder. */
  workDirectory: string;
  onConsole: (line: string) => void;
  note: (text: string) => void;
  signal?: AbortSignal | undefined;
  /** For tests that play the hostile host. */
  hostile?: Hostile;
}

/** What a hostile host can do at a launch. */
export interface Hostile {
  /** Serials of drives that are not attached. */
  missingDrives?: readonly string[];
  /** Another command line, with the hash table made to match. */
  cmdline?: string;
  /** Hash table of other blobs than those that are started. */
  blobs?: BlobHashes;
  /** Guest-physical address that the hash table is put at, in place of the one that the firmware reads. */
  hashTableAddress?: string;
  /** Further block options of QEMU by drive name, on top of a `file.image` of theirs: read errors. */
  blockOptions?: Readonly<Record<string, string>>;
  /** Further options of QEMU's user network: what its DHCP server says, more peers. */
  networkOptions?: readonly string[];
  /** Further arguments of QEMU. */
  extraArguments?: readonly string[];
  /** Digest that the development KBS is told, in place of that of what is started. */
  digest?: string;
  /** Start a production bundle too: without the hardware it must refuse. */
  production?: boolean;
  firmwareTimeout?: number;
}

export interface DevelopmentBoot extends BootResult {
  manifest: Manifest;
  /** Launch digest of what was started, hex. */
  digest: string;
  /** Requests that the development KBS saw; undefined with a KBS of the caller's. */
  requests: { total: number; released: number; refused: number } | undefined;
}

/**
 * Boots a development bundle against the development KBS: measures what it is about to start, as the hardware would,
 * and lets the KBS judge that digest.
 * @throws UserError where the bundle is not a development bundle or holds other files than its manifest says.
 */
export async function bootDevelopmentBundle(options: DevelopmentBootOptions): Promise<DevelopmentBoot> {
  const { folder, hostile = {}, signal, note } = options;
  const manifest = await readManifest(folder);
  if (manifest.kind !== 'development' && !hostile.production) {
    throw new UserError(`cannot boot ${folder}: it is a production bundle, which needs SEV-SNP hardware`, {
      hint: 'start it there with its launch_vm.sh, or build one with --dev to try it here',
      status: exitStatus.usage,
    });
  }
  if (options.hostile === undefined) await refuseChanged(folder, signal);
  const vcpus = chooseVcpus(manifest, options.vcpus);
  const firmware = await readFirmware(join(folder, 'OVMF.amdsev.fd'));
  const cmdline = hostile.cmdline ?? manifest.launch.cmdline;
  const { launch, blobs } = await measureLaunch({
    firmware,
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    cmdline,
    cpu: manifest.launch.cpu,
    guestFeatures: Number(manifest.launch.guest_features),
    vcpus: [vcpus],
    memoryGib: manifest.launch.memory_gib,
  });
  const digest = launch.digests[0]!.hex;
  const expected = manifest.launch.digests.find((one) => one.vcpus === vcpus)?.hex;
  note(
    `launch digest ${digest} (${vcpus} vCPUs): ${digest === expected ? 'as in the manifest' : 'NOT the one in the manifest'}`,
  );

  const own =
    options.kbsUrl === undefined
      ? await startDevelopmentKbs({
          stateDirectory: options.state,
          registryDirectory: options.state,
          digest: hostile.digest ?? digest,
          opa: options.opa,
          // What somebody posted to a development KBS of the same folder is not to judge this boot.
          inMemory: true,
          log: (line) => note(`development KBS: ${line}`),
        })
      : undefined;
  try {
    const result = await bootBundle({
      folder,
      launch: { ...launch, hash_table_address: hostile.hashTableAddress ?? launch.hash_table_address },
      blobs: hostile.blobs ?? blobs,
      cmdline,
      vcpus,
      memoryGib: options.memoryGib ?? 2,
      accelerator: options.accelerator ?? 'auto',
      userDataWritable: await isUserDataWritable(folder),
      missingDrives: hostile.missingDrives ?? [],
      kbs: kbsAddress(options.kbsUrl ?? own!.url),
      portForwards: options.portForwards ?? [],
      peers: options.peers ?? [],
      blockOptions: hostile.blockOptions ?? {},
      networkOptions: hostile.networkOptions ?? [],
      extraArguments: hostile.extraArguments ?? [],
      workDirectory: options.workDirectory,
      timeout: options.timeout ?? 900,
      firmwareTimeout: hostile.firmwareTimeout ?? 180,
      onConsole: options.onConsole,
      signal,
    });
    const requests = own && { ...own.requests };
    return { ...result, manifest, digest, requests };
  } finally {
    await own?.close();
  }
}

/** A drive that the site may have used is no fault; a changed kernel, initrd or script is. */
async function refuseChanged(folder: string, signal: AbortSignal | undefined): Promise<void> {
  const { checks } = await verifyBundle(folder, { signal });
  const changed = checks.flatMap(({ findings }) => findings).filter(({ severity }) => severity === 'failure');
  if (changed.length === 0) return;
  throw new UserError(`cannot boot ${folder}: it is not what was built`, {
    details: changed.map(({ subject, text }) => `${subject} ${text}`),
    hint: `cvm verify ${folder} tells more`,
  });
}

function chooseVcpus(manifest: Manifest, wanted: number | undefined): number {
  const { vcpus } = manifest.launch;
  if (wanted === undefined) return vcpus.find((count) => count >= 2) ?? vcpus[0]!;
  if (vcpus.includes(wanted)) return wanted;
  throw new UserError(`cannot boot with ${wanted} vCPUs: only ${vcpus.join(', ')} were measured`, {
    status: exitStatus.usage,
  });
}

/** launch_vm.sh says how user_data is attached; the manifest's digest covers that file. */
async function isUserDataWritable(folder: string): Promise<boolean> {
  return /^user_data_readonly=.?off/m.test(await readTextFile(join(folder, 'launch_vm.sh')));
}

/** Host and port of a key broker. @throws UserError for what is no https address */
export function kbsAddress(url: string): { host: string; port: number } {
  if (!URL.canParse(url)) {
    throw new UserError(`cannot use the KBS at ${JSON.stringify(url)}: it is not an address`, {
      hint: 'write it as https://127.0.0.1:8999',
      status: exitStatus.usage,
    });
  }
  const { hostname, port, protocol } = new URL(url);
  if (protocol !== 'https:') {
    throw new UserError(`cannot use the KBS at ${url}: the CVM speaks https only`, {
      status: exitStatus.usage,
    });
  }
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
}
