import type { Check, Finding } from '../../bundle/index.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { blockBytes, luksHeaderBytes } from '../../seal/index.ts';
import type { SealedSegment, SealedSettings } from '../initrd/sealed.ts';
import type { Inside } from '../inside.ts';
import { decryptedPayload } from '../luks/payload.ts';
import { type BadBlock, badBlocks, type VerityOptions } from '../verity/tree.ts';

const subject = 'crypt_root.qcow2';
/** Runs of bad blocks that are told one by one. */
const mostRuns = 20;

/** Opens the payload and compares every sealed block with the tree, and the tree with the pinned root hash. */
export const payloadCheck = (
  { sealed, rootDrive, volumeKey }: Inside,
  { progress }: Pick<VerityOptions, 'progress'> = {},
): Check => ({
  name: 'sealed payload',
  async run({ signal }): Promise<Finding[]> {
    if (volumeKey === undefined) {
      const text = 'was not opened: --key compares its content block by block with what was sealed';
      return [{ subject, severity: 'not checked', text }];
    }
    if ('problem' in volumeKey) return [cannotOpen(volumeKey.problem)];
    if ('problem' in sealed || 'problem' in rootDrive) return [];
    const place = { offset: luksHeaderBytes, sectorBytes: blockBytes };
    const payload = decryptedPayload(rootDrive.value, volumeKey.value, place);
    try {
      const runs = await badRuns(badBlocks(payload, sealed.value.verity, { signal, progress }));
      const mark = markFinding((await payload.read(sealed.value.vaultMark, blockBytes)).toString('latin1'));
      return [...damage(runs, sealed.value), ...mark];
    } catch (error) {
      if (error instanceof MalformedError) return [cannotOpen(error.message)];
      throw error;
    }
  },
});

function cannotOpen(problem: string): Finding {
  return { subject, severity: 'failure', text: `cannot be opened: ${problem}` };
}

/** Blocks side by side. */
interface Run extends BadBlock {
  blocks: number;
}

async function badRuns(
  blocks: AsyncIterable<BadBlock>,
): Promise<{ runs: Run[]; blocks: number; more: number }> {
  const runs: Run[] = [];
  let [count, more] = [0, 0];
  let end = -1;
  for await (const block of blocks) {
    count += 1;
    const last = runs.at(-1);
    if (block.offset === end && more === 0 && last?.part === block.part) last.blocks += 1;
    else if (block.offset !== end && runs.length === mostRuns) more += 1;
    else if (runs.length < mostRuns) runs.push({ ...block, blocks: 1 });
    end = block.offset + blockBytes;
  }
  return { runs, blocks: count, more };
}

function damage(
  { runs, blocks, more }: { runs: readonly Run[]; blocks: number; more: number },
  { segments }: SealedSettings,
): Finding[] {
  if (runs.length === 0) return [];
  const details = runs.map((run) => {
    const last = run.offset + run.blocks * blockBytes - 1;
    const where = run.part === 'tree' ? 'hash tree' : segmentOf(segments, run.offset);
    return `${where}: bytes ${run.offset} to ${last} of the payload, ${luksHeaderBytes + run.offset} to ${luksHeaderBytes + last} of the drive`;
  });
  return [
    {
      subject,
      severity: 'failure',
      text: `holds ${blocks} ${blocks === 1 ? 'block' : 'blocks'} of ${blockBytes} bytes that are not what was sealed`,
      details: more === 0 ? details : [...details, `and ${more} more runs`],
      consequence: 'the VM stops at the boot with E43',
    },
  ];
}

/** `layer0, byte 4096 of it`. */
function segmentOf(segments: readonly SealedSegment[], offset: number): string {
  const segment = segments.find((one) => offset >= one.offset && offset < one.offset + one.bytes);
  return segment === undefined ? 'unnamed data' : `${segment.name}, byte ${offset - segment.offset} of it`;
}

/** The mark that the build or InitApp puts in front of the vault (templates/initrd/lib/vault.sh). */
function markFinding(mark: string): Finding[] {
  if (/^cvm-vault-new\n\0*$/.test(mark)) return [];
  if (/^cvm-vault-made [0-9a-f]{64} \d+ [0-9a-f]{64}\n/.test(mark)) {
    return [{ subject, severity: 'note', text: 'holds a vault: the VM was started before' }];
  }
  return [
    {
      subject: `mark of the vault in ${subject}`,
      severity: 'failure',
      text: 'is neither that of a new vault nor that of one made: it was altered or wiped',
      consequence: 'the VM stops at the boot with E54',
    },
  ];
}
