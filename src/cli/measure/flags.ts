import { exitStatus, UserError } from '../../host/errors.ts';
import { type MeasurementMode, measurementModes, type Vmm } from '../../measure/index.ts';

/** The options of `cvm measure` as commander hands them over. */
export interface MeasureFlags {
  ovmf?: string;
  ovmfHash?: string;
  kernel?: string;
  initrd?: string;
  append?: string;
  vcpus?: string;
  cpu?: string[];
  guestFeatures?: string[];
  mode: string;
  vmm: string;
  json?: boolean;
  rvps?: boolean;
  explain?: boolean;
  idKey?: string;
  authorKey?: string;
  familyId?: string;
  imageId?: string;
  guestSvn?: string;
  policy?: string;
}

const vmms = ['qemu', 'ec2', 'gce'] as const satisfies readonly Vmm[];

/** Ends the command with status 2: the command line is to be changed. */
export function refuse(problem: string, hint = 'cvm measure --help shows the options'): never {
  throw new UserError(problem, { hint, status: exitStatus.usage });
}

/** `--mode`. @throws UserError */
export function modeOf(text: string): MeasurementMode {
  const mode = measurementModes.find((known) => known === text);
  return mode ?? refuse(`cannot use --mode ${JSON.stringify(text)}: it is ${measurementModes.join(', ')}`);
}

/** `--vmm`. @throws UserError */
export function vmmOf(text: string): Vmm {
  const vmm = vmms.find((known) => known === text.toLowerCase());
  return vmm ?? refuse(`cannot use --vmm ${JSON.stringify(text)}: it is ${vmms.join(', ')}`);
}

/** More than any machine takes, less than what would fill the memory. */
const mostCounts = 4096;

/** Counts of vCPUs, `1,2,4-8`: each once, in the order given. @throws UserError */
export function countList(option: string, text: string): number[] {
  const wrong = () => refuse(`cannot use ${option} ${JSON.stringify(text)}: it is not a list like 1,2,4-8`);
  const counts = new Set<number>();
  for (const part of text.split(',')) {
    const [, from, to = from] = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(part.trim()) ?? wrong();
    const [first, last] = [Number(from), Number(to)];
    if (first > last) wrong();
    if (last > mostCounts)
      refuse(`cannot use ${option} ${JSON.stringify(text)}: the last count is ${mostCounts}`);
    for (let count = first; count <= last; count++) counts.add(count);
  }
  return [...counts];
}

/** An unsigned number of at most `bits` bits, decimal or `0x`. @throws UserError */
export function unsigned(option: string, text: string, bits: 32 | 64): bigint {
  const value = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : undefined;
  if (value !== undefined && value < 2n ** BigInt(bits)) return value;
  return refuse(
    `cannot use ${option} ${JSON.stringify(text)}: it is not an unsigned ${bits}-bit number like 0x1`,
  );
}

/** Exactly so many bytes in hex. @throws UserError */
export function hexBytes(option: string, text: string, size: number): Buffer {
  if (text.length === 2 * size && /^[0-9a-f]*$/i.test(text)) return Buffer.from(text, 'hex');
  return refuse(`cannot use ${option} ${JSON.stringify(text)}: it is not ${2 * size} hex digits`);
}
