import type { Check, Finding } from '../../bundle/index.ts';
import { Secret } from '../../host/secret.ts';
import { bufferBlocks, type Inside } from '../inside.ts';
import { formsOf } from '../key-material/needles.ts';
import { KeyScanner, mostCandidates } from '../key-material/scanner.ts';
import { unlockVolumeKey } from '../luks/keyslot.ts';

/** Where the site's own data may hold what it likes. */
const sitesOwn = 'user_data.qcow2';
/** Programs of the base: libraries of cryptography carry private keys to test themselves with. */
export const unpackedInitrd = 'initrd.img, unpacked';

/** Scanners of a bundle's files, and the check that judges what they saw. */
export interface KeyMaterial {
  /** What is to be told the bytes of a file, by its name; the same one each time. */
  scannerOf(name: string): KeyScanner;
  check: Check;
}

/**
 * Looks for key material in every file of a bundle: the disk key and the volume key where they are known, private keys as text, and
 * whatever has the form of a disk key and opens the pinned LUKS header.
 */
export function keyMaterial({ sealed, luks, volumeKey }: Inside, key: Secret | undefined): KeyMaterial {
  const opened = volumeKey !== undefined && 'value' in volumeKey ? [volumeKey.value] : [];
  const needles = [...(key === undefined ? [] : [key]), ...opened].flatMap(formsOf);
  const candidates = new Set<string>();
  const scanners = new Map<string, KeyScanner>();

  async function opens(candidate: string): Promise<boolean> {
    if ('problem' in sealed || 'problem' in luks) return false;
    const header = bufferBlocks(sealed.value.luksHeader);
    return (await unlockVolumeKey(header, luks.value, new Secret(Buffer.from(candidate)))) !== undefined;
  }

  return {
    scannerOf(name) {
      const scanner = scanners.get(name) ?? new KeyScanner(needles, candidates);
      scanners.set(name, scanner);
      return scanner;
    },
    check: {
      name: 'key material',
      async run({ signal }): Promise<Finding[]> {
        const findings = [...scanners].flatMap(([name, scanner]) => sightings(name, scanner));
        if (candidates.size > mostCandidates) {
          const text = `holds more than ${mostCandidates} texts of the form of a disk key; that many were tried`;
          findings.push({ subject: 'bundle', severity: 'not checked', text });
        }
        for (const candidate of [...candidates].slice(0, mostCandidates)) {
          signal?.throwIfAborted();
          if (!(await opens(candidate))) continue;
          const text = 'holds the disk key of this image as text';
          findings.push({ subject: 'bundle', severity: 'failure', text, consequence: worthless });
        }
        return findings;
      },
    },
  };
}

const worthless = 'whoever has the bundle reads the root drive: retire the image and build it again';

function sightings(name: string, { sightings: all }: KeyScanner): Finding[] {
  return all.flatMap(({ kind, offset }): Finding[] => {
    const where = `at byte ${offset}`;
    if (kind === 'known key') {
      const text = `holds the disk key or the volume key ${where}`;
      return [{ subject: name, severity: 'failure', text, consequence: worthless }];
    }
    if (name === unpackedInitrd) return [];
    const severity = name === sitesOwn ? 'note' : 'failure';
    return [{ subject: name, severity, text: `holds a private key as text ${where}` }];
  });
}
