import { dirname, join, resolve } from 'node:path';
import type { Manifest } from '../../bundle/index.ts';
import { UserError } from '../../host/errors.ts';
import { readBuildRecord } from './file.ts';
import type { BuildRecord } from './schema.ts';

/**
 * The build record of a bundle where this machine has it: in the `handoff/` beside the bundle's `target/`, or in another. One of
 * another build of the same id, as of a bundle that was replaced, is not this bundle's; nor is one that somebody else may have
 * written.
 * @param bundle folder or archive
 */
export async function recordOfBundle(
  bundle: string,
  { id, created }: Manifest,
  handoffFolder: string,
): Promise<BuildRecord | undefined> {
  const beside = join(dirname(dirname(resolve(bundle))), 'handoff');
  for (const folder of new Set([beside, handoffFolder])) {
    const record = await readBuildRecord(join(folder, `cvm_${id}`)).catch((error: unknown) => {
      if (error instanceof UserError) return undefined;
      throw error;
    });
    if (record?.id === id && record.created === created) return record;
  }
  return undefined;
}
