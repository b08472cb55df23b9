import type { Check, Finding } from '../../bundle/index.ts';
import { blockBytes, luksHeaderBytes, smallestVault } from '../../seal/index.ts';
import type { SealedSettings } from '../initrd/sealed.ts';
import type { Inside } from '../inside.ts';
import type { LuksMetadata } from '../luks/header.ts';
import { treeLevels } from '../verity/tree.ts';

type Row = readonly [what: string, expected: string | number, found: string | number | undefined];

/** Cipher and sizes that a sealed drive of this builder has, against the pinned header and the layout. */
export const layoutCheck = ({ sealed, luks, rootDrive }: Inside): Check => ({
  name: 'cipher and sizes',
  run(): Finding[] {
    // The check of the sealed settings has told it.
    if ('problem' in sealed) return [];
    if ('problem' in luks) return [failure('LUKS header in initrd.img', `is of no use: ${luks.problem}`)];
    const rows = [...cipherRows(luks.value), ...layoutRows(sealed.value)];
    if ('value' in rootDrive) rows.push(...driveRows(sealed.value, rootDrive.value.size));
    const drive = 'problem' in rootDrive ? [failure('crypt_root.qcow2', rootDrive.problem)] : [];
    return [...drive, ...rows.flatMap(compare)];
  },
});

function failure(subject: string, cause: string): Finding {
  return { subject, severity: 'failure', text: `cannot be used: ${cause}` };
}

function compare([what, expected, found]: Row): Finding[] {
  if (expected === found) return [];
  const text = 'is not as this builder seals drives';
  return [
    {
      subject: what,
      severity: 'failure',
      text,
      expected: String(expected),
      found: String(found ?? 'nothing'),
    },
  ];
}

const only = <T>(entries: Record<string, T>): T | undefined => {
  const values = Object.values(entries);
  return values.length === 1 ? values[0] : undefined;
};
const count = (entries: object) => Object.keys(entries).length;

function cipherRows({ keyslots, segments, tokens, digests, config }: LuksMetadata): Row[] {
  const [slot, segment, digest] = [only(keyslots), only(segments), only(digests)];
  return [
    ['LUKS keyslots', 1, count(keyslots)],
    ['LUKS tokens', 0, count(tokens)],
    ['LUKS segments', 1, count(segments)],
    ['LUKS digests', 1, count(digests)],
    [
      'LUKS requirements',
      'none',
      config.requirements === undefined ? 'none' : JSON.stringify(config.requirements),
    ],
    ['key derivation', 'pbkdf2, sha256', slot && `${slot.kdf.type}, ${slot.kdf.hash}`],
    [
      'cipher of the keyslot',
      'aes-xts-plain64, 512 bits',
      slot && `${slot.area.encryption}, ${slot.area.key_size * 8} bits`,
    ],
    ['volume key', '512 bits', slot && `${slot.key_size * 8} bits`],
    ['digest of the volume key', 'pbkdf2, sha256', digest && `${digest.type}, ${digest.hash}`],
    ['segment', 'crypt', segment?.type],
    ['cipher', 'aes-xts-plain64', segment?.encryption],
    [
      'integrity and flags of the segment',
      'none',
      segment && (segment.integrity ?? segment.flags) === undefined ? 'none' : 'some',
    ],
    ['sector size', blockBytes, segment?.sector_size],
    ['start of the payload', luksHeaderBytes, segment?.offset],
    ['size of the payload', 'dynamic', segment?.size],
    ['first sector number', '0', segment?.iv_tweak],
  ];
}

function layoutRows({ segments, verity, vaultMark, luksHeader }: SealedSettings): Row[] {
  let end = 0;
  const gaps = segments.filter(({ offset, bytes }) => {
    const follows = offset === end && bytes > 0 && bytes % blockBytes === 0;
    end = offset + bytes;
    return !follows;
  });
  const layers = segments.slice(2).map((_, index) => `layer${index}`);
  return [
    ['size of the pinned LUKS header', luksHeaderBytes, luksHeader.length],
    [
      'order of the layers',
      ['base', 'site', ...layers].join(' '),
      segments.map(({ name }) => name).join(' '),
    ],
    ['layers that do not follow the one before', 'none', gaps.map(({ name }) => name).join(' ') || 'none'],
    ['start of the hash tree', end, verity.hashOffset],
    ['blocks under the hash tree', end / blockBytes, verity.dataBlocks],
    ['salt of the hash tree, bytes', 32, verity.salt.length],
    ["start of the vault's mark", treeLevels(verity).end, vaultMark],
  ];
}

function driveRows({ vaultMark }: SealedSettings, driveBytes: number): Row[] {
  const needed = luksHeaderBytes + vaultMark + smallestVault;
  const enough = 'room for the vault';
  return [
    [
      'size of crypt_root.qcow2',
      enough,
      driveBytes >= needed ? enough : `${driveBytes} bytes, ${needed} are needed`,
    ],
  ];
}
