import { hasPolicyBit, MeasurementError, parseCpu } from '../../measure/index.ts';
import type { LaunchScriptValues } from '../launch-script/read.ts';
import type { Reading } from '../launch-script/variables.ts';
import type { Manifest } from '../manifest.ts';
import { compareCommandLines } from './command-line.ts';
import type { Finding } from './finding.ts';

/** One measured value of launch_vm.sh: its name, and what it must be. */
interface Expectation<T> {
  subject: string;
  expected: T;
  reading: Reading<T>;
  /** The value for people; as it is unless told otherwise. */
  show?: (value: T) => string;
  same?: (expected: T, found: T) => boolean;
  consequence: (found: T) => string;
  details?: (found: T) => string[];
}

const noKey = 'the key broker releases no key';

/** Compares each measured value of launch_vm.sh with what the manifest says was measured; a failure for each that differs. */
export function compareValues(values: LaunchScriptValues, { launch }: Manifest): Finding[] {
  const text = (subject: string, expected: string, reading: Reading<string>, consequence: string) =>
    finding({ subject, expected, reading, consequence: () => consequence });
  const otherDigest = `the launch digest becomes another, and ${noKey}`;
  return [
    finding({
      subject: 'vCPUs',
      expected: launch.vcpus.map(String),
      reading: values.vcpus,
      show: (counts) => counts.join(', '),
      same: (expected, found) => expected.join() === found.join(),
      consequence: (found) => ofCounts(launch.vcpus.map(String), found),
    }),
    finding({
      subject: 'CPU model',
      expected: launch.cpu,
      reading: values.cpu,
      consequence: (found) => (sameSignature(launch.cpu, found) ? sameDigest : otherDigest),
    }),
    finding({
      subject: 'command line',
      expected: launch.cmdline,
      reading: values.cmdline,
      consequence: () => otherDigest,
      details: (found) => compareCommandLines(launch.cmdline, found),
    }),
    text('firmware', 'OVMF.amdsev.fd', values.firmware, otherDigest),
    text('kernel', 'vmlinuz', values.kernel, otherDigest),
    text('initrd', 'initrd.img', values.initrd, otherDigest),
    finding({
      subject: 'policy',
      expected: launch.policy,
      reading: values.policy,
      same: (expected, found) => (numberOf(found) ?? found) === numberOf(expected),
      consequence: ofPolicy,
    }),
    text(
      'kernel hashes',
      'on',
      values.kernelHashes,
      `kernel, initrd and command line are left out of the launch digest, and ${noKey}`,
    ),
  ].flat();
}

function finding<T>(expectation: Expectation<T>): Finding[] {
  const { subject, expected, reading, show = String, consequence, details } = expectation;
  const { same = (one: T, other: T) => one === other } = expectation;
  const { line } = reading;
  const about = {
    subject,
    severity: 'failure' as const,
    file: 'launch_vm.sh',
    expected: show(expected),
    ...(line === undefined ? {} : { line }),
  };
  if ('cause' in reading) {
    const unclear = 'what the VM is started with cannot be told without running the script';
    return [{ ...about, text: `cannot be read: ${reading.cause}`, consequence: unclear }];
  }
  const { value } = reading;
  if (same(expected, value)) return [];
  return [
    {
      ...about,
      text: 'is not as measured',
      found: show(value),
      consequence: consequence(value),
      ...(details === undefined ? {} : { details: details(value) }),
    },
  ];
}

const sameDigest =
  'both report the same processor signature, so the launch digest stays; what else the VM is told of its processor differs';

function sameSignature(expected: string, found: string): boolean {
  try {
    return parseCpu(expected) === parseCpu(found);
  } catch (error) {
    if (error instanceof MeasurementError) return false;
    throw error;
  }
}

function ofCounts(measured: readonly string[], found: readonly string[]): string {
  const others = found.filter((count) => !measured.includes(count));
  if (others.length === 0) return 'each of these counts was measured: only the choice differs';
  return `nothing was measured for ${others.join(', ')}, and ${noKey} for that`;
}

function numberOf(text: string): bigint | undefined {
  return /^(?:0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : undefined;
}

/** The guest policy is no part of the launch digest; the attestation report tells it, and our policy.rego asks two bits. */
function ofPolicy(found: string): string {
  const policy = numberOf(found) ?? 0n;
  if (hasPolicyBit(policy, 'debug')) {
    return `the host may debug the VM; the attestation report says so, and ${noKey}`;
  }
  if (hasPolicyBit(policy, 'migrationAgent')) {
    return `the VM may be migrated; the attestation report says so, and ${noKey}`;
  }
  return 'the attestation report shows the other policy; the launch digest does not cover it';
}
