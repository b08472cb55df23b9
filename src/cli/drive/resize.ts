import { listingOf } from '../../bundle/index.ts';
import { type ResizeMethod, type ResizeResult, resizeDrive, sizeText } from '../../drives/index.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { clip, oneLine } from '../../report/text.ts';

export interface ResizeFlags {
  dryRun?: boolean;
  repair?: boolean;
  kernelNbd?: boolean;
  copy?: boolean;
}

/** `cvm drive resize`: notes on standard error, one line with the outcome on standard output. */
export async function resizeCommand(drive: string, size: string, flags: ResizeFlags): Promise<void> {
  using interruption = handleSignals();
  const result = await resizeDrive(drive, {
    size,
    dryRun: flags.dryRun ?? false,
    repair: flags.repair ?? false,
    method: methodOf(flags),
    listing: await listingOf(drive),
    note: (text) => process.stderr.write(`${clip(oneLine(text), 1000)}\n`),
    signal: interruption.signal,
  });
  process.stdout.write(`${oneLine(drive)}: ${outcomeText(result)}\n`);
}

function methodOf({ kernelNbd, copy }: ResizeFlags): ResizeMethod | undefined {
  if (kernelNbd && copy) {
    throw new UserError('cannot use --kernel-nbd and --copy together', { status: exitStatus.usage });
  }
  return kernelNbd ? 'kernel-nbd' : copy ? 'copy' : undefined;
}

function outcomeText({ outcome, from, to }: ResizeResult): string {
  const change = from === to ? sizeText(to) : `${sizeText(from)} -> ${sizeText(to)}`;
  switch (outcome) {
    case 'resized':
      return `${change}, file system checked`;
    case 'would resize':
      return `would be resized, ${change}; nothing was changed`;
    case 'unchanged':
      return `has ${sizeText(to)} already`;
    case 'completed':
      return `an earlier resize is completed, ${change}; nothing was done beyond it`;
    case 'would complete':
      return `an earlier resize to ${sizeText(to)} was cut short, and would be completed; nothing was changed`;
  }
}
