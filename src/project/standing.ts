import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { policyPlace } from '../build/policy-place.ts';
import { pushesAfterBuild } from '../build/push-built.ts';
import { readBuildRecord } from '../build/record/file.ts';
import type { BuildSettings } from '../build/settings.ts';
import {
  type BundleSource,
  bundleFolderPattern,
  bytesOf,
  manifestName,
  openSource,
  verifyBundle,
} from '../bundle/index.ts';
import { messageOf, UserError } from '../host/errors.ts';
import { isFile } from '../host/folders.ts';
import {
  handoffFiles,
  type ImageRecord,
  launchDigestsOf,
  readHandoffRecord,
  readRegistry,
} from '../kbs/index.ts';
import { changesSince } from './changes.ts';
import { archiveOf } from './site.ts';
import type { TodaysInputs } from './today.ts';

/** Whether a site has to be built. */
export type Standing =
  | { state: 'complete'; id: string; archive: string; handoff: string; toPush: boolean }
  | { state: 'to build'; why: string };

/**
 * Finds out whether an earlier run left a site's bundle complete, of the same inputs, and with its right to the key. The archive says only which
 * image it is; everything else is the administrator's own word: the build record, the hand-off, the registry. Every file in the
 * archive is read and compared.
 */
export async function standingOf(
  settings: BuildSettings,
  today: TodaysInputs,
  signal: AbortSignal,
): Promise<Standing> {
  const archive = archiveOf(settings);
  try {
    if (!(await isFile(archive))) return { state: 'to build', why: 'it has no bundle' };
    await using source = await openSource(archive, { signal });
    const id = bundleFolderPattern.exec(source.folderName)?.[1];
    const handoff = join(settings.handoffFolder, source.folderName);
    const record = await readBuildRecord(handoff);
    if (id === undefined || record?.id !== id)
      return { state: 'to build', why: `${handoff} has no build record of it` };
    const { name, kind, project } = settings;
    if (record.name !== name || record.kind !== kind || record.project !== project) {
      return { state: 'to build', why: `${archive} is the ${record.kind} bundle of another site or project` };
    }
    const changes = await changesSince(record, settings, today, signal);
    if (changes.length > 0) return { state: 'to build', why: changes.join('; ') };
    const image = await readHandoffRecord(handoff);
    if (!(await hasRight(settings, image)))
      return { state: 'to build', why: `image ${id} has no right to its key any more` };
    const hasKey = await isFile(join(handoff, handoffFiles.key));
    // Of a production image the key may be with the key broker alone.
    if (!hasKey && kind === 'development')
      return { state: 'to build', why: `the key of image ${id} has gone` };
    const { checks, whole } = await verifyBundle(source, { record: image, signal });
    const files = checks.find((check) => check.name === 'files')!.findings;
    if (!whole || files.length > 0 || (await manifestDigest(source, signal)) !== record.manifest_sha256)
      return { state: 'to build', why: `${archive} is damaged: \`cvm verify\` says where` };
    return { state: 'complete', id, archive, handoff, toPush: hasKey && (await pushesAfterBuild(settings)) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UserError) return { state: 'to build', why: messageOf(error) };
    throw error;
  }
}

/**
 * SHA-256 of manifest.json. It lists every other file, and the launch digests cover neither it nor the drives that change in use: were it
 * taken at its word, so would they be.
 */
async function manifestDigest(source: BundleSource, signal: AbortSignal): Promise<string | undefined> {
  const file = await source.file(manifestName);
  if (typeof file === 'string') return undefined;
  const hash = createHash('sha256');
  for await (const bytes of bytesOf(file, signal)) hash.update(bytes);
  return hash.digest('hex');
}

/** Whether the registry gives the image its key, for these very digests. */
async function hasRight(settings: BuildSettings, image: ImageRecord): Promise<boolean> {
  const { directory } = policyPlace(settings.kind, settings, settings.handoffFolder);
  const registered = (await readRegistry(directory))?.images.find(({ id }) => id === image.id);
  const digests = (of: ImageRecord) => launchDigestsOf(of).sort().join();
  return registered?.status === 'active' && digests(registered) === digests(image);
}
