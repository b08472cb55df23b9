import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { openBundle } from '../../bundle/index.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { workDirectory } from '../../host/temp.ts';
import { buildRecordName, readBuildRecord } from '../record/file.ts';
import type { BuildRecord } from '../record/schema.ts';

export interface FoundRecord {
  record: BuildRecord;
  /** `handoff/`, absolute. */
  handoffFolder: string;
}

/**
 * Finds the build record that an id or a bundle names, in the `handoff/` of the output folder. A bundle only says its id: nothing else of it
 * is believed. A record decides which files of this machine go into an image that gets a key, so one that lies beside a bundle elsewhere is
 * not taken by itself: whoever packed the bundle could have put it there.
 * @param handoff `handoff/`, or `handoff/cvm_<id>`, where the administrator names it
 * @throws UserError where there is none
 */
export async function findBuildRecord(
  named: string,
  places: { handoff: string | undefined; output: string },
): Promise<FoundRecord> {
  const { id, beside } = await idOf(named);
  const folders =
    places.handoff === undefined
      ? [resolve(places.output, 'handoff'), ...(beside === undefined ? [] : [beside])]
      : [resolve(places.handoff), dirname(resolve(places.handoff))];
  for (const handoffFolder of folders) {
    const record = await readBuildRecord(join(handoffFolder, `cvm_${id}`));
    if (record === undefined) continue;
    if (places.handoff === undefined && handoffFolder !== folders[0]) {
      throw cannot(
        named,
        `its build record lies beside it, in ${handoffFolder}, and whoever gave you the bundle could have written it`,
        `where it is your own: --handoff ${handoffFolder}`,
      );
    }
    if (record.id !== id) throw cannot(named, `${handoffFolder}/cvm_${id} has the record of ${record.id}`);
    return { record, handoffFolder };
  }
  const looked = [...new Set(folders)].map((folder) => join(folder, `cvm_${id}`, buildRecordName));
  throw cannot(
    named,
    `there is no ${looked.join(' and no ')}`,
    'name the bundle itself, or the folder of its hand-off with --handoff; an image of a builder that kept no records is built again with cvm build',
  );
}

async function idOf(named: string): Promise<{ id: string; beside?: string }> {
  const id = /^(?:cvm_)?([0-9a-f]{12})$/.exec(named)?.[1];
  if (id !== undefined && !existsSync(named)) return { id };
  if (!existsSync(named)) {
    throw cannot(named, 'it is no id of 12 hex digits, and there is no such file or folder');
  }
  await using work = await workDirectory();
  const { folder, id: ofBundle } = await openBundle(named, { workDirectory: work.path, only: [] });
  // Of an archive the folder is a temporary one: its own place tells.
  const place = folder.startsWith(`${work.path}/`) ? resolve(named) : folder;
  return { id: ofBundle, beside: join(dirname(dirname(place)), 'handoff') };
}

function cannot(named: string, cause: string, hint?: string): UserError {
  return new UserError(`cannot rebuild ${named}: ${cause}`, {
    ...(hint === undefined ? {} : { hint }),
    status: exitStatus.usage,
  });
}
