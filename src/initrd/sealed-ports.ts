import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';

/** Magic number of a zstd frame (RFC 8878, 3.1.1), as its bytes lie in a file. */
const zstdMagic = Buffer.from('28b52ffd', 'hex');
/** The site's part is small: settings, certificates and a LUKS header. */
const largestPart = 64 * 2 ** 20;
const searched = 16 * 2 ** 20;
/** Places that look like a frame: a hostile initrd could have a million that each unpack to {@link largestPart}. */
const mostTries = 32;
/** The header of a file in a cpio archive of the form newc, in bytes; eight hex digits a field (Linux, early-userspace/buffer-format.rst). */
const header = { bytes: 110, fileSize: 54, nameSize: 94 } as const;

/**
 * TCP ports that the firewall of a CVM lets out to anywhere, read off the last archive of its initrd, which holds the site's own part.
 * @returns undefined where it cannot be found
 */
export async function sealedOutPorts(initrd: string): Promise<number[] | undefined> {
  // O_NONBLOCK: a FIFO is not waited for.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  await using file = await open(initrd, flags).catch(() => undefined);
  const found = await file?.stat();
  if (file === undefined || !found?.isFile()) return undefined;
  const { size } = found;
  const length = Math.min(size, searched);
  const tail = Buffer.alloc(length);
  await file.read(tail, 0, length, size - length);
  let tries = 0;
  for (
    let at = tail.lastIndexOf(zstdMagic);
    at >= 0;
    at = at === 0 ? -1 : tail.lastIndexOf(zstdMagic, at - 1)
  ) {
    tries += 1;
    if (tries > mostTries) return undefined;
    const rules = firewallIn(tail.subarray(at));
    if (rules !== undefined) return portsOf(rules);
  }
  return undefined;
}

function firewallIn(part: Buffer): string | undefined {
  let archive: Buffer;
  try {
    archive = zstdDecompressSync(part, { maxOutputLength: largestPart });
  } catch {
    return undefined;
  }
  for (let at = 0; archive.toString('latin1', at, at + 6) === '070701'; ) {
    const field = (offset: number) =>
      Number.parseInt(archive.toString('latin1', at + offset, at + offset + 8), 16);
    const name = archive.toString(
      'latin1',
      at + header.bytes,
      at + header.bytes + field(header.nameSize) - 1,
    );
    const start = at + padded(header.bytes + field(header.nameSize));
    const end = start + field(header.fileSize);
    if (/^(?:\.?\/)?etc\/cvm\/firewall[^/]*$/.test(name)) return archive.toString('utf8', start, end);
    if (!Number.isSafeInteger(end) || end <= at) return undefined;
    at += padded(end - at);
  }
  return undefined;
}

const padded = (bytes: number) => Math.ceil(bytes / 4) * 4;

/** Ports of the rule for output that names no address. */
function portsOf(rules: string): number[] {
  const output = rules.slice(rules.indexOf('chain output'));
  const set = /^\s*tcp dport \{ ([\d, ]+) \} accept$/m.exec(output)?.[1] ?? '';
  return set
    .split(', ')
    .filter((text) => text !== '')
    .map(Number);
}
