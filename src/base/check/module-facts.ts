import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { messageOf, UserError } from '../../host/errors.ts';
import { start } from '../../host/run.ts';

/** What a kernel module's file says of itself. */
export interface ModuleFacts {
  /** Whether a signature is appended; not whether the kernel knows whose it is. */
  signed: boolean;
  /** `license` of its .modinfo section, as `Dual MIT/GPL`. */
  license?: string;
  /** `version` of its .modinfo section, of numbers with dots. */
  version?: string;
}

/** Last bytes of a signed module (Linux, include/linux/module_signature.h, MODULE_SIG_STRING). */
const signatureMark = Buffer.from('~Module signature appended~\n');

/** .modinfo is a row of `name=value`, each ended by a NUL. */
const modinfo = /\0(license|version)=([\x20-\x7e]{1,64})(?=\0)/g;
/** More than the longest entry that {@link modinfo} finds. */
const overlap = 128;

/** Bytes of a module, unpacked: several times the largest of NVIDIA's. A file of a few kilobytes may claim to be any size. */
const largest = 512 * 1024 * 1024;

const decompressors = { xz: ['xz', ['-dc']], zst: ['zstd', ['-dcq']] } as const;

/**
 * Reads through a module in a squashfs, plain or compressed, and keeps nothing of it.
 * @param path without a leading slash
 * @throws UserError where it cannot be read, or is larger than any
 */
export async function moduleFacts(image: string, path: string, signal?: AbortSignal): Promise<ModuleFacts> {
  const facts: ModuleFacts = { signed: false };
  let last: Buffer = Buffer.alloc(0);
  let tooLarge: Error | undefined;
  const scan = async (pieces: AsyncIterable<Buffer>) => {
    let size = 0;
    for await (const piece of pieces) {
      size += piece.length;
      if (size > largest) {
        tooLarge = new Error('it is larger than any module');
        throw tooLarge;
      }
      const text = Buffer.concat([last, piece]);
      for (const [, name, value] of text.toString('latin1').matchAll(modinfo)) {
        if (name === 'license') facts.license ??= value!;
        else if (/^\d+(\.\d+)+$/.test(value!)) facts.version ??= value!;
      }
      last = Buffer.from(text.subarray(-overlap));
    }
  };
  const bytes = { encoding: 'buffer', buffer: { stdout: false } } as const;
  const reader = start('rdsquashfs', ['--cat', path, image], { signal }, bytes);
  const kind = /\.(xz|zst|gz)$/.exec(path)?.[1] as 'xz' | 'zst' | 'gz' | undefined;
  const all: Promise<unknown>[] = [reader];
  if (kind === undefined) {
    all.push(pipeline(reader.stdout!, scan));
  } else if (kind === 'gz') {
    all.push(pipeline(reader.stdout!, createGunzip(), scan));
  } else {
    const [tool, args] = decompressors[kind];
    const unpacker = start(tool, args, { signal }, { ...bytes, stdin: 'pipe' });
    all.push(unpacker, pipeline(reader.stdout!, unpacker.stdin!), pipeline(unpacker.stdout!, scan));
  }
  const failed = (await Promise.allSettled(all)).find((result) => result.status === 'rejected');
  // Whoever feeds it fails as well, for nobody reads on.
  if (failed !== undefined) {
    if (signal?.aborted) throw signal.reason as Error;
    const cause: unknown = tooLarge ?? failed.reason;
    throw new UserError(`cannot read ${path} of the base: ${messageOf(cause)}`, { cause });
  }
  facts.signed = last.subarray(-signatureMark.length).equals(signatureMark);
  return facts;
}
