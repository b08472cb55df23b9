import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { UserError } from '../host/errors.ts';
import { freeBytes, nearestExisting } from '../host/folders.ts';
import { freeMemory } from '../host/temp.ts';
import { bytesText } from '../report/text.ts';
import type { SiteSize } from './shared.ts';

/** What this machine has, in bytes. */
export interface Room {
  processors: number;
  /** Memory that work files may lie in; 0 where there is none. */
  memory: number;
  /** Free on the file system of TMPDIR, where work files lie that do not fit in memory. */
  work: number;
  /** Free on the file system of the output folder. */
  output: number;
  /** Whether these two are one file system. */
  sameDisk: boolean;
  /** For messages. */
  outputFolder: string;
  workFolder: string;
}

export async function roomFor(outputFolder: string, processors: number): Promise<Room> {
  const [existing, workFolder] = [await nearestExisting(outputFolder), tmpdir()];
  return {
    processors,
    memory: await freeMemory(),
    work: await freeBytes(workFolder),
    output: await freeBytes(existing),
    sameDisk: (await stat(existing)).dev === (await stat(workFolder)).dev,
    outputFolder,
    workFolder,
  };
}

/**
 * How many sites may be built at once: as many as there are processors, or as were asked for, and no more than their work files have room for. Work files lie
 * in memory where twice their size is free (`workDirectory`), each site deciding for itself; so that all of them can, the memory is
 * shared out beforehand.
 * @param sizes of the sites that are to be built
 * @throws UserError where the disk does not hold the sum of the bundles, or not one site's work files beside them
 */
export function sitesAtOnce(sizes: readonly SiteSize[], room: Room, asked?: number): number {
  const output = sizes.reduce((sum, { bundle }) => sum + bundle, 0);
  const work = Math.max(...sizes.map((size) => size.work));
  const cannot = (what: string, needed: number, folder: string, free: number) =>
    new UserError(
      `cannot build ${sizes.length} sites: ${what} take ${bytesText(needed)} in ${folder}, ${bytesText(free)} are free`,
      { hint: 'free some space there, or choose another folder: output in builder.yml, or TMPDIR' },
    );
  if (output > room.output) throw cannot('their bundles', output, room.outputFolder, room.output);
  const wanted = Math.min(sizes.length, asked ?? room.processors);
  const inMemory = Math.floor(room.memory / (2 * work));
  if (inMemory >= 1) return Math.min(wanted, inMemory);
  const left = room.sameDisk ? room.work - output : room.work;
  const onDisk = Math.floor(left / work);
  if (onDisk < 1)
    throw cannot('the work files of one, beside the bundles,', work, room.workFolder, Math.max(0, left));
  return Math.min(wanted, onDisk);
}
