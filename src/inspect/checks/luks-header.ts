import type { Check, Finding } from '../../bundle/index.ts';
import { blocksOf, found, type Inside } from '../inside.ts';

const subject = 'crypt_root.qcow2';

/** Parts of the room in front of the payload, as this builder has cryptsetup lay it out: name and end, bytes. */
const parts = [
  ['the binary header', 4096],
  ["the header's JSON", 16 * 1024],
  ['the second copy of the header', 32 * 1024],
  ['the keyslots', 544 * 1024],
  ['the unused room behind the keyslots', Number.POSITIVE_INFINITY],
] as const;

/**
 * The LUKS header on the drive against the one that the initrd pins, byte for byte. The VM never uses the one on the drive, so a
 * difference does no harm by itself; but it says that somebody wrote there.
 */
export const luksHeaderCheck = ({ sealed, rootDrive }: Inside): Check => ({
  name: 'LUKS header',
  async run({ source }): Promise<Finding[]> {
    if ('problem' in sealed || 'problem' in rootDrive) return [];
    const pinned = sealed.value.luksHeader;
    const read = await found(async () => {
      await blocksOf(source, subject);
      return await rootDrive.value.read(0, pinned.length);
    });
    if ('problem' in read) return [{ subject, severity: 'failure', text: `cannot be read: ${read.problem}` }];
    const first = firstDifference(pinned, read.value);
    if (first === undefined) return [];
    const [part] = parts.find(([, end]) => first < end)!;
    const at = (bytes: Buffer) => `${bytes.toString('hex', first, first + 16)} at byte ${first}`;
    return [
      {
        subject: `LUKS header of ${subject}`,
        severity: 'failure',
        text: `is not the one that the initrd pins: ${part} differs`,
        expected: at(pinned),
        found: at(read.value),
        consequence: 'the VM uses the pinned one and starts all the same; somebody wrote to the drive',
      },
    ];
  },
});

function firstDifference(one: Buffer, other: Buffer): number | undefined {
  if (one.equals(other)) return undefined;
  const step = 4096;
  for (let at = 0; at < one.length; at += step) {
    if (one.subarray(at, at + step).equals(other.subarray(at, at + step))) continue;
    for (let byte = at; byte < at + step; byte += 1) if (one[byte] !== other[byte]) return byte;
  }
  return Math.min(one.length, other.length);
}
