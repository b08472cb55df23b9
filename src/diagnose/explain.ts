import { clip, oneLine } from '../report/text.ts';
import type { Assumptions, CommandLineEdit, Difference, Dimension, Origin } from './assumptions.ts';
import { featuresAdvice } from './guest-features.ts';

/** A difference in words: parts of a sentence, without a full stop. */
export interface Explanation {
  /** `<found> instead of <expected>`. */
  what: string;
  /** How this most likely came about. */
  cause: string;
  /** What to do so that the digest is the bundle's again. */
  remedy: string;
}

/** Text from a host or a file name, quoted, on one line and harmless to a terminal. */
export function quoted(text: string): string {
  return clip(oneLine(JSON.stringify(text)), 400);
}

const hex = (value: number | bigint) => `0x${value.toString(16)}`;
const short = (sha256: string) => `${sha256.slice(0, 12)}…`;

type Found<D extends Dimension> = Extract<Difference, { dimension: D }>;
type Explain<D extends Dimension> = (difference: Found<D>) => Explanation;

const explanations: { [D in Dimension]: Explain<D> } = {
  firmware: ({ expected, found }) => ({
    what: `firmware ${fileName(found.origin, 'OVMF.amdsev.fd')} (SHA-256 ${short(found.sha256)}) instead of the measured one (${short(expected.sha256)})`,
    ...fileAdvice(found.origin, 'OVMF.amdsev.fd', '-bios'),
  }),
  kernel: ({ expected, found }) => ({
    what: `kernel ${fileName(found.origin, 'vmlinuz')} (SHA-256 ${short(found.sha256)}) instead of the measured one (${short(expected.sha256)})`,
    ...fileAdvice(found.origin, 'vmlinuz', '-kernel'),
  }),
  initrd: ({ expected, found }) =>
    found.origin.kind === 'none'
      ? {
          what: 'no initrd instead of the measured one',
          cause: 'QEMU was started without -initrd, or with an empty file',
          remedy: "start it with the bundle's launch_vm.sh",
        }
      : {
          what: `initrd ${fileName(found.origin, 'initrd.img')} (SHA-256 ${short(found.sha256)}) instead of the measured one (${short(expected.sha256)})`,
          ...fileAdvice(found.origin, 'initrd.img', '-initrd'),
        },
  kernelHashes: () => ({
    what: 'kernel-hashes=off instead of kernel-hashes=on',
    cause: 'QEMU gave the firmware no hashes, so nothing vouches for kernel, initrd and command line',
    remedy: 'start the VM with kernel-hashes=on at -object sev-snp-guest, as launch_vm.sh does',
  }),
  commandLine: ({ found }) => commandLineExplanation(found),
  vmm: ({ found }) => ({
    what: `the start values of ${vmmNames[found]} instead of those of QEMU`,
    cause: `the VM was started by ${vmmNames[found]}, or the digest computed for it`,
    remedy: "start the bundle's launch_vm.sh with QEMU, or compute the digest for QEMU",
  }),
  fpuState: ({ found }) =>
    found === 'zero'
      ? {
          what: 'an FPU state of zeros in the save areas instead of its reset values',
          cause: "the host's kernel does not copy the FPU state there, as AMD's own kernels up to 6.8",
          remedy: 'start Linux 6.11 or later on the host',
        }
      : {
          what: 'an FPU state of zeros in the save areas of all vCPUs but the first instead of its reset values',
          cause: 'QEMU 10.1 or later hands in an empty state for them, and this host takes it over',
          remedy: 'start the VM with another version of QEMU, such as 10.0, or of the host kernel',
        },
  cpu: ({ expected, found }) => cpuExplanation(expected, found),
  guestFeatures: ({ expected, found }) => ({
    what: `guest features ${hex(found)} instead of ${hex(expected)}`,
    ...featuresAdvice(expected, found),
  }),
};

const vmmNames: Record<Assumptions['vmm'], string> = { qemu: 'QEMU', ec2: 'Amazon EC2', gce: 'Google GCE' };

/** A difference in words. */
export function explain(difference: Difference): Explanation {
  if (difference.dimension === 'vcpus') return vcpusExplanation(difference);
  return (explanations[difference.dimension] as Explain<Dimension>)(difference);
}

function vcpusExplanation({ expected, found }: Extract<Difference, { dimension: 'vcpus' }>): Explanation {
  const [only, ...more] = expected;
  const count = (vcpus: number) => `${vcpus} vCPU${vcpus === 1 ? '' : 's'}`;
  const measured = expected.join(', ');
  return {
    what:
      more.length === 0
        ? `${count(found)} instead of ${only}`
        : `${count(found)} instead of a measured count (${measured})`,
    cause: `launch_vm.sh was started with -c ${found} after an edit (as built it takes measured counts alone), or QEMU with -smp ${found}`,
    remedy: `start it with -c ${more.length === 0 ? only : `and one of ${measured}`}, or build the bundle for ${found} as well (machine.vcpus)`,
  };
}

function cpuExplanation(expected: Assumptions['cpu'], found: Assumptions['cpu']): Explanation {
  const [name, ...others] = found.names as [string, ...string[]];
  const host = found.names.includes('host');
  const aliases = others.length === 0 ? '' : `, like ${others.map(plainName).join(', ')}`;
  return {
    what: `CPU model ${plainName(name)} (signature ${hex(found.signature)}${aliases}) instead of ${plainName(expected.names[0]!)} (${hex(expected.signature)})`,
    cause: `QEMU was started with ${host ? "-cpu host, the machine's own CPU, or " : ''}-cpu ${plainName(host && name === 'host' ? (others[0] ?? 'host') : name)}`,
    remedy: `start it with -cpu ${plainName(expected.names[0]!)}, as launch_vm.sh does`,
  };
}

/** QEMU's names need no quotes; a name in an edited launch_vm.sh may be anything. */
function plainName(name: string): string {
  return /^[A-Za-z0-9._,=/-]{1,80}$/.test(name) ? name : quoted(name);
}

function fileName(origin: Origin, own: string): string {
  return 'name' in origin ? quoted(origin.name) : `${own} as it is in the folder now`;
}

function fileAdvice(origin: Origin, own: string, option: string): Omit<Explanation, 'what'> {
  return 'name' in origin
    ? {
        cause: `QEMU was started with ${option} ${quoted(origin.name)} or a copy of it`,
        remedy: `start it with the bundle's own ${own}, by launch_vm.sh`,
      }
    : {
        cause: `${own} was replaced after the bundle was built`,
        remedy: 'unpack the bundle again',
      };
}

/** Parameters that hand the VM to whoever adds them. */
const takesOver = /^(init=|rdinit=|rd\.break|systemd\.debug_shell|single$)/;

function commandLineExplanation({ text, edit }: Assumptions['commandLine']): Explanation {
  const started = 'start the VM with launch_vm.sh as it was built';
  const advice: Record<CommandLineEdit['kind'], (edit: CommandLineEdit) => Explanation> = {
    measured: () => ({ what: 'the measured command line', cause: '', remedy: '' }),
    script: () => ({
      what: `the command line that launch_vm.sh has now (${quoted(text)}) instead of the measured one`,
      cause: 'launch_vm.sh was edited',
      remedy: 'unpack the bundle again',
    }),
    offered: () => ({
      what: `the command line ${quoted(text)} instead of the measured one`,
      cause: 'QEMU was started with this -append',
      remedy: started,
    }),
    without: (one) => ({
      what: `a command line without ${quoted('parameter' in one ? one.parameter : '')} instead of the measured one`,
      cause: 'the parameter was taken out of -append',
      remedy: started,
    }),
    with: (one) => withExplanation('parameter' in one ? one.parameter : '', started),
    firmware: () => ({
      what: 'a command line with initrd=initrd instead of the measured one',
      cause:
        'the command line was copied from /proc/cmdline of a running CVM, where the firmware has added initrd=initrd',
      remedy: started,
    }),
    newline: () => ({
      what: 'a command line with a newline at its end instead of the measured one',
      cause: 'the text of -append was read from a file, or quoted in libvirt XML or a systemd unit',
      remedy: 'hand QEMU the text without the newline, as launch_vm.sh does',
    }),
    blank: () => ({
      what: 'a command line with a blank at its end instead of the measured one',
      cause: 'a tool put the text of -append together out of parts',
      remedy: 'hand QEMU the text as it is in launch_vm.sh',
    }),
    empty: () => ({
      what: 'an empty command line instead of the measured one',
      cause: 'QEMU was started without -append',
      remedy: started,
    }),
  };
  return advice[edit.kind](edit);
}

function withExplanation(parameter: string, remedy: string): Explanation {
  return {
    what: `a command line with ${quoted(parameter)} added instead of the measured one`,
    cause: parameter.startsWith('nr_cpus=')
      ? 'an orchestrator added the number of vCPUs to -append'
      : takesOver.test(parameter)
        ? 'somebody added it to -append to get a shell inside the CVM'
        : 'it was added to -append',
    remedy,
  };
}
