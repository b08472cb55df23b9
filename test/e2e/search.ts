import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { driveExtents } from './drives.ts';

/** Byte strings that give a secret away, by what they are. */
export type Needles = Readonly<Record<string, Buffer>>;

/** The forms in which a disk key (ASCII, hex digits) could lie in a file. */
export function formsOfKey(key: Buffer): Needles {
  const text = key.toString('ascii');
  const bytes = Buffer.from(text, 'hex');
  return {
    'as it is': key,
    'in capitals': Buffer.from(text.toUpperCase()),
    'as bytes': bytes,
    'as hex of its text': Buffer.from(key.toString('hex')),
    ...formsOfBase64('of its text', key),
    ...formsOfBase64('of its bytes', bytes),
  };
}

/** A private key in PEM: its bytes, and each whole line of its base64. */
export function formsOfPem(pem: string): Needles {
  const lines = pem.split('\n').filter((line) => line.length === 64 && !line.startsWith('-----'));
  const body = Buffer.from(pem.replaceAll(/-----[^\n]*-----|\s/g, ''), 'base64');
  return {
    'as DER': body,
    ...Object.fromEntries(lines.map((line, index) => [`line ${index}`, Buffer.from(line)])),
  };
}

/** Base64 depends on where in a group of three bytes the text begins; the characters at both ends are shared. */
function formsOfBase64(what: string, bytes: Buffer): Needles {
  return Object.fromEntries(
    [0, 1, 2].map((lead) => {
      const text = Buffer.concat([Buffer.alloc(lead), bytes])
        .toString('base64')
        .replace(/=+$/, '');
      return [`as base64 ${what}, ${lead} bytes in`, Buffer.from(text.slice(lead === 0 ? 0 : 4, -2))];
    }),
  );
}

/** Names of the needles that a stream of chunks holds, also across two chunks. */
export async function findIn(chunks: AsyncIterable<Buffer>, needles: Needles): Promise<string[]> {
  const found = new Set<string>();
  const longest = Math.max(...Object.values(needles).map(({ length }) => length));
  let tail = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const window = Buffer.concat([tail, chunk]);
    for (const [name, needle] of Object.entries(needles)) if (window.includes(needle)) found.add(name);
    tail = Buffer.from(window.subarray(-longest + 1));
  }
  return [...found];
}

/** Looks at a file as it lies on disk, and at what is inside where it is a drive or an archive. */
export async function findInFile(file: string, needles: Needles): Promise<string[]> {
  const found = await findIn(read(file), needles);
  if (file.endsWith('.qcow2')) found.push(...(await findIn(driveContent(file), needles)));
  if (file.endsWith('.tgz')) found.push(...(await findIn(read(file).pipe(createGunzip()), needles)));
  return [...new Set(found)];
}

function read(file: string, range: { start?: number; end?: number } = {}) {
  return createReadStream(file, { highWaterMark: 4 << 20, ...range });
}

/** What the guest sees on a drive, without its holes. */
async function* driveContent(file: string): AsyncGenerator<Buffer> {
  for (const { offset, length } of await driveExtents(file)) {
    yield* read(file, { start: offset, end: offset + length - 1 });
  }
}
