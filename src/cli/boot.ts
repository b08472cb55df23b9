import { stat } from 'node:fs/promises';
import { bootDevelopmentBundle, type DevelopmentBoot, type Peer } from '../boot/index.ts';
import { developmentState } from '../build/policy-place.ts';
import { openBundle } from '../bundle/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { workDirectory } from '../host/temp.ts';
import { openReport } from '../report/report.ts';
import { portNumber, wholeNumber } from './arguments.ts';

export interface BootFlags {
  kbs?: string;
  opa?: string;
  vcpus?: string;
  memory: string;
  accel: string;
  forward?: string[];
  peer?: string[];
  timeout: string;
}

/** `cvm boot`: status 0 only when the workload inside ended well. */
export async function bootCommand(bundle: string, flags: BootFlags): Promise<void> {
  using interruption = handleSignals();
  const report = await openReport();
  const { signal } = interruption;
  try {
    if (flags.accel !== 'auto' && flags.accel !== 'kvm' && flags.accel !== 'tcg') {
      throw new UserError(`cannot use --accel ${flags.accel}: it is auto, kvm or tcg`, {
        status: exitStatus.usage,
      });
    }
    const vcpus = flags.vcpus === undefined ? undefined : wholeNumber('--vcpus', flags.vcpus);
    const memoryGib = wholeNumber('--memory', flags.memory);
    const timeout = wholeNumber('--timeout', flags.timeout);
    const portForwards = (flags.forward ?? []).map(portForward);
    const peers = peersOf(flags.peer ?? []);
    const { size } = await stat(bundle).catch(() => ({ size: 0 }));
    await using work = await workDirectory({ bytes: size });
    await using opened = await workDirectory({ bytes: size });
    const { folder } = await openBundle(bundle, { workDirectory: opened.path, signal });
    const boot = await bootDevelopmentBundle({
      folder,
      state: developmentState(),
      kbsUrl: flags.kbs,
      opa: flags.opa,
      vcpus,
      memoryGib,
      accelerator: flags.accel,
      timeout,
      portForwards,
      peers,
      workDirectory: work.path,
      onConsole: (line) => process.stdout.write(`${line}\n`),
      note: (text) => process.stderr.write(`${text}\n`),
      signal,
    });
    await report.result(outcome(boot));
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

/** The last line. @throws UserError unless the guest itself said that its workload ended well. */
function outcome(boot: DevelopmentBoot): string {
  const took = `${boot.seconds.toFixed(0)} s under ${boot.accelerator.toUpperCase()}`;
  if (boot.end === 'firmware-stopped') {
    throw new UserError('the firmware did not start the kernel', {
      hint: 'kernel, initrd or command line are not those of the hash table',
    });
  }
  if (boot.end === 'timeout') {
    throw new UserError(`the CVM was still running after ${took} and was stopped`, { hint: 'see --timeout' });
  }
  if (boot.verdict === undefined) {
    throw new UserError(`the CVM ended after ${took} and said nothing of how`, {
      hint: 'its boot log has more: cvm logs <bundle>',
    });
  }
  if (boot.verdict.result === 'failed') {
    throw new UserError(`the CVM powered off: ${boot.verdict.code}: ${boot.verdict.message}`, {
      hint: 'docs/troubleshooting.md explains the code; the boot log has more: cvm logs <bundle>',
    });
  }
  return `CVM ${boot.manifest.id} booted and ended well: ${boot.verdict.message} (${took})`;
}

function portForward(text: string): { host: number; guest: number } {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  if (match === null) {
    throw new UserError(`cannot forward ${JSON.stringify(text)}: it is not <host port>:<guest port>`, {
      status: exitStatus.usage,
    });
  }
  return { host: portNumber('--forward', match[1]!), guest: portNumber('--forward', match[2]!) };
}

/**
 * `--peer`: programs that the CVM may connect to. No host begins with "-": the program that carries the connection would take it for an option.
 * @throws UserError for two at one port: the port is what tells them apart
 */
export function peersOf(texts: readonly string[]): Peer[] {
  const peers = texts.map((text) => {
    const match = /^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):(\d{1,5})$/.exec(text);
    if (match === null) {
      throw new UserError(`cannot let the CVM reach ${JSON.stringify(text)}: it is not <host>:<port>`, {
        status: exitStatus.usage,
      });
    }
    return { host: match[1]!.replace(/^\[|\]$/g, ''), port: portNumber('--peer', match[2]!) };
  });
  const twice = peers.find(({ port }, index) => peers.findIndex((other) => other.port === port) < index);
  if (twice === undefined) return peers;
  throw new UserError(`cannot let the CVM reach two programs at port ${twice.port}`, {
    status: exitStatus.usage,
  });
}
