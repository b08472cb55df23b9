import { lstat, readFile, rm } from 'node:fs/promises';
import { z } from 'zod';
import { UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { readBackingName, readQcow2Header } from '../qcow2-header.ts';
import type { Place } from './place.ts';

/** What is under way, written before the drive changes and removed when all is done. Sizes in bytes. */
const recordSchema = z.strictObject({
  from: z.int().min(0),
  to: z.int().min(1),
  /** The manifest beside the drive listed the drive as it was. */
  listed: z.boolean(),
});
export type ResizeRecord = z.infer<typeof recordSchema>;

export async function writeRecord({ record }: Place, value: ResizeRecord): Promise<void> {
  await writeFileAtomic(record, JSON.stringify(value), 0o600);
}

/** The record of an earlier run; undefined where there is none that can be read. */
async function readRecord({ record }: Place): Promise<ResizeRecord | undefined> {
  try {
    const found = await lstat(record);
    if (!found.isFile() || found.size > 4096) return undefined;
    return recordSchema.safeParse(JSON.parse(await readFile(record, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

export async function removeRecord({ record }: Place): Promise<void> {
  await rm(record, { force: true });
}

/**
 * How an earlier run left a drive. `merge`: it is an overlay whose content is not in its base yet. `done`: only the record is
 * left. `fresh`: the drive was not changed; the record, where there is one, says what was listed.
 */
export interface Unfinished {
  state: 'merge' | 'done' | 'fresh';
  record: ResizeRecord | undefined;
}

/**
 * Finds out. Nothing beside a drive is trusted: base must be a plain file with no further names of files in it.
 * @throws UserError where the drive has a backing file that is not our own.
 */
export async function findUnfinished(place: Place): Promise<Unfinished> {
  const { drive, base, backingName } = place;
  const record = await readRecord(place);
  const backing = await readBackingName(drive);
  if (backing === undefined) {
    const { virtualBytes } = await readQcow2Header(drive);
    const over = record !== undefined && record.to === virtualBytes && record.from !== record.to;
    return { state: over && !(await exists(base)) ? 'done' : 'fresh', record };
  }
  if (backing !== backingName) {
    throw new UserError(`cannot resize ${drive}: it has a backing file, ${JSON.stringify(backing)}`, {
      hint: `if you made it so yourself: qemu-img convert -O qcow2 ${drive} NEW makes one file of both. Never do that with a drive that a host sent`,
    });
  }
  const found = await lstat(base).catch(() => undefined);
  if (!found?.isFile() || found.nlink !== 1) {
    const cause = found === undefined ? 'is missing' : 'is not the file that was left there';
    throw new UserError(`cannot complete the resize of ${drive}: ${base} ${cause}`, {
      hint: 'the drive and that file belong together: copy or move both',
    });
  }
  await readQcow2Header(base);
  await readQcow2Header(drive, backingName);
  return { state: 'merge', record };
}

/**
 * Removes what a killed run left beside a drive that it had not changed yet. Called under the locks.
 * @throws UserError where a file of that name is not one of ours.
 */
export async function removeLeftovers({ drive, base, next, raw }: Place): Promise<void> {
  const found = await lstat(base).catch(() => undefined);
  if (found !== undefined) {
    const { ino, dev } = await lstat(drive);
    if (found.ino !== ino || found.dev !== dev) {
      throw new UserError(`cannot resize ${drive}: ${base} is there and is no part of it`, {
        hint: 'it may be what is left of another drive of that name: move it away',
      });
    }
    await rm(base);
  }
  await rm(next, { force: true });
  await rm(raw, { force: true });
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
