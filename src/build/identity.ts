import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateFolder } from '../bundle/index.ts';
import { exitStatus, messageOf, UserError } from '../host/errors.ts';
import { whyNotOwn } from '../host/folders.ts';
import { newDiskKey, type Secret } from '../host/secret.ts';
import type { BuildSettings } from './settings.ts';

/** What is one image's own: its id, its key, and where its parts go. */
export interface Identity {
  /** 12 lower-case hex digits. */
  id: string;
  key: Secret;
  /** Bundle folder, `target/cvm_<id>`, or where it is made. */
  folder: string;
  /** Mode of that folder once the bundle is complete. Until then it is 0700. */
  finalMode: number;
  /** The packed bundle before it gets its name, in the same folder as that. */
  archive: string;
  /** `handoff/cvm_<id>`, or where it is made. */
  handoff: string;
  /** Resource path of the key at the key broker. */
  resource: string;
  /** Paths that are removed when the run ends; emptied by the build's last step. */
  unfinished: string[];
}

/** Draws a new key, and a new id unless that of another image is kept. Whatever ends the build before its last step takes away what was made for it. */
export async function newIdentity(settings: BuildSettings, scope: AsyncDisposableStack): Promise<Identity> {
  const key = newDiskKey();
  scope.defer(() => key.wipe());
  const place = settings.replaces?.keepId === undefined ? newPlace(settings) : placeBeside(settings);
  const { unfinished } = place;
  await requireOwn(settings.targetFolder);
  await requireOwn(settings.handoffFolder);
  const finalMode = await makePrivateFolder(place.folder).catch((error: unknown) => {
    throw new UserError(`cannot make the bundle's folder ${place.folder}: ${messageOf(error)}`, {
      hint: 'choose another output folder: --output, or output in builder.yml',
      status: exitStatus.usage,
    });
  });
  scope.defer(async () => {
    for (const path of unfinished) await rm(path, { recursive: true, force: true });
  });
  // Once more: what was not there before may have been made by somebody else.
  await requireOwn(place.folder);
  return { ...place, finalMode, key };
}

/** Whoever can replace a folder on the way to bundle or key changes what is measured, or reads the key. @throws UserError */
async function requireOwn(folder: string): Promise<void> {
  const why = await whyNotOwn(folder);
  if (why === undefined) return;
  throw new UserError(`cannot build into ${folder}: ${why}`, {
    hint: 'it could change the bundle or take the disk key: choose an output folder of your own (--output, or output in builder.yml), or take that right away with chown and chmod',
    status: exitStatus.usage,
  });
}

type Place = Omit<Identity, 'key' | 'finalMode'>;

function newPlace({ targetFolder, handoffFolder, builder }: BuildSettings): Place {
  const id = randomBytes(6).toString('hex');
  const folder = join(targetFolder, `cvm_${id}`);
  const archive = join(targetFolder, `.cvm_${id}.tgz`);
  const handoff = join(handoffFolder, `cvm_${id}`);
  const resource = `${builder.kbs.resourcePrefix}/${id}`;
  return { id, folder, archive, handoff, resource, unfinished: [folder, archive, handoff] };
}

/** An image that keeps the id of another is made beside it, and takes its place at the end. */
function placeBeside({ name, replaces }: BuildSettings): Place {
  const { places, resource } = replaces!.keepId!;
  return {
    id: places.id,
    folder: places.nextBundle,
    archive: join(places.nextTargetFolder, `${name}.tgz`),
    handoff: places.nextHandoff,
    resource,
    unfinished: [places.nextTargetFolder, places.nextHandoffFolder],
  };
}
