import type { InputState } from './compare.ts';
import type { InputName } from './inputs.ts';

/** One part of a bundle, and what a rebuild does with it. */
export interface PartRow {
  part: string;
  fate: 'reused' | 'made anew';
  why: string;
}

/** What each part that can be reused is made from. */
const madeFrom: readonly { part: string; inputs: readonly InputName[] }[] = [
  { part: 'operating system and kernel', inputs: ['base'] },
  { part: "workload's layers", inputs: ['docker-archive'] },
  { part: 'firmware', inputs: ['firmware'] },
  { part: 'initrd, shared parts', inputs: ['initrd'] },
];

/** Settings are sealed in several parts, each of which is made anew by every build in any case. */
const settings: readonly InputName[] = ['cc-config', 'builder', 'startup-kit', 'kbs-ca', 'snpguest'];

/** What changes in a bundle that is built again, and why. */
export function partRows(
  states: readonly InputState[],
  about: {
    /** For `--keep-id`: what changes at the key broker. */
    keepId?: { keyBroker: string } | undefined;
    builderBefore: string;
    builderNow: string;
  },
): PartRow[] {
  const differing = new Set(states.filter(({ state }) => state !== 'same').map(({ name }) => name));
  const reasons = (inputs: readonly InputName[]) => inputs.filter((name) => differing.has(name));
  const updated =
    about.builderBefore === about.builderNow
      ? ''
      : `; the builder was ${about.builderBefore} and is ${about.builderNow}`;
  const sealed = reasons(settings);
  return [
    ...madeFrom.map(({ part, inputs }): PartRow => {
      const why = reasons(inputs);
      return why.length === 0
        ? { part, fate: 'reused', why: '' }
        : { part, fate: 'made anew', why: states.find(({ name }) => name === why[0])!.detail };
    }),
    { part: 'disk key', fate: 'made anew', why: 'at every rebuild' },
    { part: 'root drive', fate: 'made anew', why: 'the disk key is new; the vault begins empty' },
    {
      part: 'initrd, own part',
      fate: 'made anew',
      why: `it pins the root drive${sealed.length === 0 ? '' : ` and holds settings (${sealed.join(', ')})`}${updated}`,
    },
    { part: 'plain drives', fate: 'made anew', why: 'the old ones stay with the old bundle' },
    {
      part: 'launch digests',
      fate: 'made anew',
      why: `${about.keepId ? 'the initrd is' : 'initrd and id are'} new; the old ones lose their right to the key`,
    },
    about.keepId
      ? { part: 'id', fate: 'reused', why: '--keep-id' }
      : { part: 'id', fate: 'made anew', why: '--keep-id keeps it' },
    ...(about.keepId
      ? [{ part: 'policy and key', fate: 'made anew', why: about.keepId.keyBroker } satisfies PartRow]
      : []),
  ];
}
