import type { Manifest } from '../bundle/index.ts';
import type { Dimension } from './assumptions.ts';
import type { Diagnosis } from './diagnose.ts';
import { explain } from './explain.ts';
import type { Tried } from './search.ts';

/** A diagnosis in lines of text; the first is the answer. */
export function diagnosisLines(diagnosis: Diagnosis, manifest: Manifest): string[] {
  return [...answer(diagnosis, manifest), ...remarks(diagnosis)];
}

function answer({ outcome, vcpus, differences, tried }: Diagnosis, { launch }: Manifest): string[] {
  if (outcome === 'no-match') return noMatch(tried);
  const count = `${vcpus} vCPU${vcpus === 1 ? '' : 's'}`;
  if (outcome === 'as-built') return [`is the launch digest of this bundle with ${count} of ${launch.cpu}`];
  const explanations = differences.map(explain);
  const [only, ...more] = explanations;
  if (only !== undefined && more.length === 0) return [`matches ${only.what}: ${only.cause}: ${only.remedy}`];
  return [
    `matches this bundle with ${count} and ${explanations.length} differences:`,
    ...explanations.map(({ what, cause, remedy }) => `  - ${what}: ${cause}: ${remedy}`),
  ];
}

const nouns: Record<Dimension, string> = {
  firmware: 'firmware',
  kernelHashes: 'kernel-hashes',
  kernel: 'kernel',
  initrd: 'initrd',
  commandLine: 'command line',
  vmm: 'VMM',
  fpuState: 'FPU state',
  cpu: 'CPU signature',
  guestFeatures: 'guest features',
};

function noMatch({ values, vcpus, differences, digests, complete }: Tried): string[] {
  const tried = (Object.keys(nouns) as Dimension[]).map(
    (dimension) => `${nouns[dimension]} ${values[dimension]}`,
  );
  return [
    'matches nothing that was tried',
    `  values tried: ${tried.join(', ')}; 1 to ${vcpus} vCPUs; up to ${differences} differences beside the vCPUs`,
    `  launch digests compared: ${digests}`,
    ...(complete ? [] : ['  the search was ended: it had more combinations than it is allowed']),
    '  not tried: launches from IGVM files or under an SVSM, further edits of several parameters at once',
    '  offer what else the host may have used: --ovmf, --kernel, --initrd, --append',
  ];
}

/** What makes the answer weaker than it looks. */
function remarks({ outcome, recomputed, contradicted }: Diagnosis): string[] {
  const lines: string[] = [];
  if (!recomputed) {
    lines.push(
      outcome === 'as-built'
        ? 'the firmware that was measured is not at hand, so this is the word of manifest.json alone'
        : 'the firmware that was measured is not at hand; offer it with --ovmf',
    );
  }
  if (contradicted.length > 0) {
    lines.push(
      `manifest.json was edited: its digests for ${contradicted.join(', ')} vCPUs do not follow from its own values; trust the copy that stayed with the admin`,
    );
  }
  return lines;
}
