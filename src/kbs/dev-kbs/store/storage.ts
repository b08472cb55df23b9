import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode } from '../../../host/errors.ts';
import { writeFileAtomic } from '../../../host/files.ts';

/** Bytes by name; a name is a relative path of checked segments. */
export interface Storage {
  read(name: string): Promise<Buffer | undefined>;
  /** Replaces as a whole. */
  write(name: string, bytes: Buffer): Promise<void>;
  /** @returns whether there was something to remove. */
  remove(name: string): Promise<boolean>;
}

/** Files below a folder, which outlive the server: folders have mode 0700, files 0600, and each is replaced atomically. */
export function fileStorage(folder: string): Storage {
  return {
    async read(name) {
      try {
        return await readFile(join(folder, name));
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    },
    async write(name, bytes) {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFileAtomic(path, bytes, 0o600);
    },
    async remove(name) {
      try {
        await rm(join(folder, name));
        return true;
      } catch (error) {
        if (isAbsent(error)) return false;
        throw error;
      }
    },
  };
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'EISDIR');
}

/** Nothing outlives the process. */
export function memoryStorage(): Storage {
  const all = new Map<string, Buffer>();
  return {
    read: async (name) => {
      const bytes = all.get(name);
      // A copy: who reads a key wipes it after use.
      return bytes && Buffer.from(bytes);
    },
    write: async (name, bytes) => void all.set(name, Buffer.from(bytes)),
    remove: async (name) => all.delete(name),
  };
}
