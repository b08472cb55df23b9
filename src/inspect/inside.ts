import type { BundleSource } from '../bundle/index.ts';
import type { Blocks } from '../host/disk/blocks.ts';
import type { Secret } from '../host/secret.ts';
import { MalformedError } from '../host/tar/bytes.ts';
import { readSitePart } from './initrd/read.ts';
import { parseSealed, type SealedSettings } from './initrd/sealed.ts';
import { type LuksMetadata, readLuksHeader } from './luks/header.ts';
import { unlockVolumeKey } from './luks/keyslot.ts';
import { type Drive, openQcow2 } from './qcow2/drive.ts';

/** A value, or the cause why there is none: one clause. */
export type Found<T> = { value: T } | { problem: string };

/** What lies inside of a bundle's measured and encrypted files, as far as it can be read. */
export interface Inside {
  /** What the initrd seals. */
  sealed: Found<SealedSettings>;
  /** The LUKS header that the initrd pins. */
  luks: Found<LuksMetadata>;
  rootDrive: Found<Drive>;
  /** What the disk key opens; undefined where no key was given. */
  volumeKey: Found<Secret> | undefined;
}

export interface LookOptions {
  /** The disk key: the passphrase of the pinned header. */
  key?: Secret | undefined;
  signal?: AbortSignal | undefined;
}

/** Reads what a bundle seals, and opens its root drive where the key is given. What is damaged is told in its place. */
export async function lookInside(source: BundleSource, options: LookOptions = {}): Promise<Inside> {
  const { key, signal } = options;
  const sealed = await found(async () =>
    parseSealed(await readSitePart(await blocksOf(source, 'initrd.img'), { signal })),
  );
  const luks = await found(async () => readLuksHeader(bufferBlocks(required(sealed).luksHeader)));
  const rootDrive = await found(async () => openQcow2(await blocksOf(source, 'crypt_root.qcow2')));
  const volumeKey = key && (await found(() => unlocked(required(sealed), required(luks), key)));
  return { sealed, luks, rootDrive, volumeKey };
}

async function unlocked(sealed: SealedSettings, luks: LuksMetadata, key: Secret): Promise<Secret> {
  const volumeKey = await unlockVolumeKey(bufferBlocks(sealed.luksHeader), luks, key);
  if (volumeKey === undefined)
    throw new MalformedError('the key does not open it: it is that of another image');
  return volumeKey;
}

/** Bytes in memory as a disk. */
export function bufferBlocks(bytes: Buffer): Blocks {
  return {
    size: bytes.length,
    async read(offset, length) {
      if (offset + length > bytes.length) throw new MalformedError('it ends early');
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A file of a bundle. @throws MalformedError where it is missing */
export async function blocksOf(source: BundleSource, name: string): Promise<Blocks> {
  const file = await source.file(name);
  if (file === 'missing') throw new MalformedError('it is missing');
  if (file === 'not regular') throw new MalformedError('it is not a regular file');
  return file;
}

/** Runs a reader; what is wrong with its input becomes a value. */
export async function found<T>(read: () => Promise<T>): Promise<Found<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    if (error instanceof MalformedError) return { problem: error.message };
    throw error;
  }
}

/** The value, or its problem as an error, for a reader that needs it. */
export function required<T>(of: Found<T>): T {
  if ('value' in of) return of.value;
  throw new MalformedError(of.problem);
}
