import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '../bundle/index.ts';
import { messageOf, UserError } from '../host/errors.ts';
import { start, toolError } from '../host/run.ts';
import { shellQuote } from '../host/template.ts';
import { findTool } from '../host/tools.ts';
import { type BlobHashes, commandLineBytes, kernelHashTable } from '../measure/index.ts';
import { ConsoleReader } from './console.ts';
import { kvmUsable, type Machine, machineArguments } from './machine.ts';
import { controlArguments, standstill } from './standstill.ts';
import { readVerdict, type Verdict } from './verdict.ts';

/** A program somewhere that the guest may connect to, under another address and the same port. */
export interface Peer {
  host: string;
  port: number;
}

export interface BootOptions {
  /** Folder of the bundle; its drives are used in place. */
  folder: string;
  launch: Manifest['launch'];
  /** Hashes that the firmware will compare kernel, initrd and command line with. */
  blobs: BlobHashes;
  /** Kernel command line; the bundle's own unless a test plays the hostile host. */
  cmdline: string;
  vcpus: number;
  memoryGib: number;
  accelerator: 'auto' | 'kvm' | 'tcg';
  userDataWritable: boolean;
  missingDrives?: readonly string[];
  /** Where the guest's requests to the key broker go. */
  kbs: { host: string; port: number };
  portForwards?: readonly { host: number; guest: number }[];
  peers?: readonly Peer[];
  blockOptions?: Readonly<Record<string, string>>;
  networkOptions?: readonly string[];
  extraArguments?: readonly string[];
  /** A private folder. */
  workDirectory: string;
  /** Seconds until a VM that does not end by itself is stopped. */
  timeout: number;
  /** Seconds within which the kernel must have started, else the firmware is taken to have refused it. */
  firmwareTimeout: number;
  onConsole: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** How a boot ended. */
export interface BootResult {
  /**
   * - `powered-off`: the VM ended by itself
   * - `firmware-stopped`: the firmware never started the kernel
   * - `timeout`: it was still running and was stopped
   */
  end: 'powered-off' | 'firmware-stopped' | 'timeout';
  /** What the guest said of itself, where it came so far. */
  verdict: Verdict | undefined;
  accelerator: 'kvm' | 'tcg';
  seconds: number;
}

/**
 * Boots a bundle under its real firmware, which checks the hash table. The CPU's signature is all that is missing
 * to a real launch.
 * @throws UserError where QEMU cannot be started.
 */
export async function bootBundle(options: BootOptions): Promise<BootResult> {
  const machine = await prepare(options);
  const began = performance.now();
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  let end: BootResult['end'] = 'powered-off';
  /** Aborted when the kernel has started. */
  const kernel = new AbortController();

  const reader = new ConsoleReader((line) => {
    if (/\bLinux version \d/.test(line)) kernel.abort();
    options.onConsole(line);
  });
  const args = [...machineArguments(machine), ...controlArguments];
  // Standard input stays closed; file descriptor 3 is the control socket.
  const streams = { stdin: undefined, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] as const };
  const qemu = start(
    'qemu-system-x86_64',
    args,
    { signal },
    { ...streams, buffer: { stdout: false, fd3: false } },
  );
  qemu.stdout!.on('data', (chunk: Buffer) => reader.push(chunk));

  const giveUp = async (after: Promise<void>, reason: BootResult['end'], holds: () => boolean) => {
    await after;
    if (!holds()) return;
    end = reason;
    stop.abort();
  };
  const seconds = (count: number) => delay(count * 1000, undefined, { signal });
  const inFirmware = AbortSignal.any([signal, kernel.signal]);
  const watches = [
    giveUp(seconds(options.timeout), 'timeout', () => true),
    giveUp(seconds(options.firmwareTimeout), 'firmware-stopped', () => !kernel.signal.aborted),
    giveUp(
      standstill(qemu.stdio[3] as unknown as Duplex, { signal: inFirmware }),
      'firmware-stopped',
      () => !kernel.signal.aborted,
    ),
  ].map((watch) => watch.catch(() => {}));
  try {
    await qemu;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (end === 'powered-off') throw qemuError(args, error);
  } finally {
    stop.abort();
    await Promise.all(watches);
    reader.end();
  }
  const verdict = await readVerdict(machine.verdictFile);
  return { end, verdict, accelerator: machine.accelerator, seconds: (performance.now() - began) / 1000 };
}

async function prepare(options: BootOptions): Promise<Machine> {
  const { launch, workDirectory } = options;
  const hashTable = join(workDirectory, 'hash-table.bin');
  const cmdlineFile = join(workDirectory, 'cmdline.bin');
  await writeFile(hashTable, kernelHashTable(options.blobs));
  await writeFile(cmdlineFile, commandLineBytes(options.cmdline));
  const { accelerator, kbs } = options;
  return {
    folder: options.folder,
    hashTable,
    hashTableAddress: launch.hash_table_address ?? '0',
    cmdlineFile,
    vcpus: options.vcpus,
    memoryGib: options.memoryGib,
    accelerator: accelerator === 'auto' ? ((await kvmUsable(options.signal)) ? 'kvm' : 'tcg') : accelerator,
    userDataWritable: options.userDataWritable,
    missingDrives: options.missingDrives ?? [],
    verdictFile: join(workDirectory, 'verdict'),
    kbsForward: carrierTo(kbs),
    peerForwards: (options.peers ?? []).map((peer) => ({ port: peer.port, command: carrierTo(peer) })),
    portForwards: options.portForwards ?? [],
    blockOptions: options.blockOptions ?? {},
    networkOptions: options.networkOptions ?? [],
    extra: options.extraArguments ?? [],
  };
}

/** The command that QEMU runs for each connection: it is the far end's for as long as it runs. */
function carrierTo({ host, port }: Peer): string {
  return [findTool('busybox'), 'nc', host, String(port)].map(shellQuote).join(' ');
}

function qemuError(args: string[], error: unknown): UserError {
  const cause = toolError('qemu-system-x86_64', args, error);
  const locked = /Failed to get "?(shared )?"?(write|consistent read)"? lock/.test(messageOf(cause));
  return new UserError(messageOf(cause), {
    ...(locked ? { hint: 'the bundle is running already' } : {}),
    cause,
  });
}
