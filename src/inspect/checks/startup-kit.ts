import { createHash } from 'node:crypto';
import type { Check, Finding } from '../../bundle/index.ts';
import { editableLine, fileLine, folderLine, hasPrivateName, PrivateKeyScanner } from '../../drives/index.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { found, type Inside } from '../inside.ts';
import { type PlainEntry, plainDrive, plainEntries } from '../user-config/plain.ts';
import { sealedList } from '../user-config/sealed.ts';

const subject = plainDrive;
/** Entries that are told one by one; the rest is counted. */
const mostDetails = 40;

/**
 * The plain drive against the sealed list, which the key opens: what the list does not call plain is there for the host to read. Key or
 * not, no file may have the name or the content of a private key.
 */
export const startupKitCheck = (inside: Inside): Check => ({
  name: 'startup kit',
  async run({ source, signal }): Promise<Finding[]> {
    const list = inside.volumeKey === undefined ? undefined : await found(() => sealedList(inside, signal));
    const seen = new Comparison(list !== undefined && 'value' in list ? list.value : undefined);
    try {
      for await (const entry of plainEntries(source, signal)) await seen.add(entry);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      // What is wrong with the drive itself, the check of the drives tells.
      const text = `was not compared with the sealed list: ${error.message}`;
      return [{ subject, severity: 'not checked', text }];
    }
    return [...seen.findings(), ...notCompared(list)];
  },
});

function notCompared(list: { problem: string } | { value: unknown } | undefined): Finding[] {
  if (list !== undefined && 'value' in list) return [];
  const text =
    list === undefined
      ? 'was searched for private keys alone: --key compares it with the list of what may be plain'
      : `was searched for private keys alone: the list of what may be plain cannot be read: ${list.problem}`;
  return [{ subject, severity: 'not checked', text }];
}

/** What of the drive is not as it was sealed. */
class Comparison {
  readonly #list: ReadonlyMap<string, string> | undefined;
  readonly #left: Set<string>;
  readonly #unlisted: string[] = [];
  readonly #changed: string[] = [];
  readonly #private: string[] = [];

  /** @param list line of the sealed list by path, where it is known */
  constructor(list: ReadonlyMap<string, string> | undefined) {
    this.#list = list;
    this.#left = new Set(list?.keys());
  }

  async add(entry: PlainEntry): Promise<void> {
    const { kind, path, name, mode } = entry;
    const { sha256, holdsKey } = kind === 'file' ? await readFile(entry) : { sha256: '', holdsKey: false };
    if (holdsKey || (kind === 'file' && hasPrivateName(name))) this.#private.push(path);
    if (this.#list === undefined) return;
    // The VM takes no notice of it: e2fsck makes it.
    if (kind === 'folder' && path === 'lost+found') return;
    this.#left.delete(path);
    const listed = this.#list.get(path);
    if (listed === undefined) {
      this.#unlisted.push(path);
      return;
    }
    const lines: Record<PlainEntry['kind'], string[]> = {
      folder: [folderLine(path, mode)],
      file: [editableLine(path), fileLine(path, mode, sha256)],
      other: [],
    };
    if (!lines[kind].includes(listed)) this.#changed.push(path);
  }

  findings(): Finding[] {
    const stops = 'the VM stops at the boot with E63 or E64';
    return [
      ...finding(
        'holds private keys, which belong into the sealed drive',
        this.#private,
        'the host reads them',
      ),
      ...finding(
        'holds what the sealed list does not call plain',
        this.#unlisted,
        `the host reads it, and ${stops}`,
      ),
      ...finding('holds what is not as it was sealed', this.#changed, stops),
      ...finding('lacks what the sealed list names', [...this.#left], stops),
    ];
  }
}

function finding(text: string, paths: readonly string[], consequence: string): Finding[] {
  if (paths.length === 0) return [];
  const details = paths.slice(0, mostDetails).map((path) => `/${path}`);
  if (paths.length > mostDetails) details.push(`and ${paths.length - mostDetails} more`);
  return [{ subject, severity: 'failure', text, details, consequence }];
}

/** SHA-256 of a file, and whether a private key is in it. */
async function readFile({ content }: PlainEntry): Promise<{ sha256: string; holdsKey: boolean }> {
  const hash = createHash('sha256');
  const scanner = new PrivateKeyScanner();
  for await (const piece of content()) {
    hash.update(piece);
    scanner.push(Buffer.from(piece));
  }
  return { sha256: hash.digest('hex'), holdsKey: scanner.found };
}
