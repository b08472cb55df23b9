import { fillTemplate } from '../../host/template.ts';
import { type ImageRecord, imagesWithRights } from '../registry/record.ts';
import { policyEntry } from './entry.ts';

/** The parts of a TCB version that attestation tokens tell, in the order of the policy. */
export const tcbParts = ['bootloader', 'tee', 'snp', 'microcode'] as const;

/** Lowest reported TCB versions of the platform that may fetch a key; parts left out are not asked for. */
export interface MinimumTcb {
  bootloader?: number;
  tee?: number;
  snp?: number;
  microcode?: number;
}

/** A policy file in three parts, each byte for byte. */
export interface PolicyParts {
  before: string;
  /** From the BEGIN mark to the END mark with its newline; empty where the file has none. */
  managed: string;
  after: string;
}

const begin = /^# BEGIN cvm-builder\b.*$/gm;
const end = /^# END cvm-builder\b.*$\r?\n?/gm;

/**
 * Takes a policy file apart at its marks.
 * @throws Error saying what is wrong with the marks and in which line.
 */
export function splitPolicy(text: string): PolicyParts {
  const lineOf = (at: number) => text.slice(0, at).split('\n').length;
  const begins = [...text.matchAll(begin)];
  const ends = [...text.matchAll(end)];
  const [opening, extraOpening] = begins;
  const [closing, extraClosing] = ends;
  if (opening === undefined && closing === undefined) return { before: text, managed: '', after: '' };
  if (opening === undefined)
    throw new Error(`line ${lineOf(closing!.index)} ends a part that nothing begins`);
  if (closing === undefined) throw new Error(`line ${lineOf(opening.index)} begins a part that nothing ends`);
  const extra = extraOpening ?? extraClosing;
  if (extra !== undefined) throw new Error(`line ${lineOf(extra.index)} marks a second cvm-builder part`);
  if (closing.index < opening.index)
    throw new Error(`line ${lineOf(closing.index)} ends what is begun later`);
  const stop = closing.index + closing[0].length;
  return {
    before: text.slice(0, opening.index),
    managed: text.slice(opening.index, stop),
    after: text.slice(stop),
  };
}

/**
 * The policy template filled in: a whole policy file for the active images of a registry, in an order that
 * depends on nothing but the images.
 */
export function fillPolicy(
  template: string,
  images: readonly ImageRecord[],
  minimum: MinimumTcb = {},
): string {
  const active = imagesWithRights(images).sort(byResourcePath);
  const entries = active.map(policyEntry);
  const values = {
    MEASUREMENTS: entries.length > 0 ? entries.join('\n') : '\t# no active image',
    MINIMUM_TCB: tcbConditions(minimum),
  };
  return fillTemplate(template, values, (text) => text);
}

function byResourcePath(one: ImageRecord, other: ImageRecord): number {
  return one.resourcePath < other.resourcePath ? -1 : 1;
}

function tcbConditions(minimum: MinimumTcb): string {
  const conditions = tcbParts.flatMap((part) => {
    const version = minimum[part];
    if (version === undefined) return [];
    if (!Number.isInteger(version) || version < 0 || version > 255) {
      throw new RangeError(`minimum TCB: ${part} must be 0 to 255, not ${version}`);
    }
    const claim = `cvm_snp.reported_tcb_${part}`;
    return [`\tis_number(${claim})`, `\t${claim} >= ${version}`];
  });
  return conditions.length > 0 ? conditions.join('\n') : '\ttrue # no minimum was set';
}
