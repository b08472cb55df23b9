import type { Assumptions, Candidate } from './assumptions.ts';

type CommandLine = Assumptions['commandLine'];

export interface CommandLineSources {
  /** As measured. */
  measured: string;
  /** As launch_vm.sh has it now. */
  script?: string | undefined;
  /** By the user. */
  offered: readonly string[];
  /** The vCPU counts that were measured. */
  vcpus: readonly number[];
}

/** Parameters that people and tools add; each hands out a shell, or says more on a console. */
const usualAdditions = [
  'quiet',
  'console=tty0',
  'init=/bin/sh',
  'init=/bin/bash',
  'rd.break',
  'single',
  'systemd.debug_shell',
  'systemd.debug_shell=1',
];

/** OVMF's boot loader tells the kernel so that it has an initrd: at the end up to edk2-stable202505, later in front. */
const firmwareAddition = 'initrd=initrd';

/** Orchestrators add `nr_cpus=<n>` to the command line; up to this count each is tried. */
const usualCounts = 64;

/**
 * Longest command line that edits are tried of: x86 kernels take 2047 bytes, and the manifest comes from a host. Each
 * edit is a copy of the whole, so without a limit they would fill the memory.
 */
const longestEdited = { characters: 4096, parameters: 256 };

/**
 * The command lines that a host may have started with, the measured one first, none twice. Of one that no kernel would
 * take no edits are among them.
 */
export function commandLineCandidates(sources: CommandLineSources): Candidate<CommandLine>[] {
  const { measured, script, offered, vcpus } = sources;
  const candidates: Candidate<CommandLine>[] = [{ value: { text: measured, edit: { kind: 'measured' } } }];
  const add = (text: string, edit: CommandLine['edit'], more: Omit<Candidate<CommandLine>, 'value'> = {}) => {
    // Such a text cannot reach the firmware.
    if (text.includes('\0') || !text.isWellFormed()) return;
    candidates.push({ value: { text, edit }, ...more });
  };
  if (script !== undefined) add(script, { kind: 'script' });
  for (const text of offered) add(text, { kind: 'offered' });
  add('', { kind: 'empty' });
  if (isEditable(measured))
    for (const { text, edit, ...more } of edits(measured, vcpus)) add(text, edit, more);
  const seen = new Set<string>();
  return candidates.filter(({ value }) => !seen.has(value.text) && seen.add(value.text));
}

function isEditable(measured: string): boolean {
  const { characters, parameters } = longestEdited;
  // With a limit: a long line is not split into all of its words to count them.
  return measured.length <= characters && measured.split(' ', parameters + 1).length <= parameters;
}

/** What people, tools and firmware make of a command line. */
function* edits(
  measured: string,
  vcpus: readonly number[],
): Generator<CommandLine & Omit<Candidate<CommandLine>, 'value'>> {
  yield { text: `${measured} ${firmwareAddition}`, edit: { kind: 'firmware' } };
  yield { text: `${firmwareAddition} ${measured}`, edit: { kind: 'firmware' } };
  yield { text: `${measured}\n`, edit: { kind: 'newline' } };
  yield { text: `${measured} `, edit: { kind: 'blank' } };
  const parameters = measured.split(' ');
  for (const [index, parameter] of parameters.entries()) {
    const text = parameters.toSpliced(index, 1).join(' ');
    yield { text, edit: { kind: 'without', parameter }, rarity: 1 };
  }
  for (const parameter of usualAdditions) {
    yield { text: `${measured} ${parameter}`, edit: { kind: 'with', parameter }, rarity: 1 };
  }
  const counts = new Set([...Array.from({ length: usualCounts }, (_, index) => index + 1), ...vcpus]);
  for (const count of counts) {
    const parameter = `nr_cpus=${count}`;
    const text = `${measured} ${parameter}`;
    yield { text, edit: { kind: 'with', parameter }, rarity: 1, mostVcpus: count };
  }
}
