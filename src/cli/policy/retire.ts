import { automaticAccess, type PushRequest, pushImages, withdrawKey } from '../../build/push.ts';
import { handleSignals } from '../../host/signals.ts';
import { type ImageRecord, retireImage, writePolicy } from '../../kbs/index.ts';
import { clip, oneLine } from '../../report/text.ts';
import { type CommandPlace, commandPlace, type DirectoryFlags } from './directory.ts';
import { findImage } from './image.ts';

export interface RetireFlags extends DirectoryFlags {
  acceptInsecureKbs?: boolean;
}

/**
 * `cvm policy retire ID`: takes an image's right to its key away. The policy is proved writable first; the registry
 * changes next, so that no build that runs meanwhile writes the image back; then the policy; then the key broker, where
 * builder.yml knows how to reach it. Done again it goes on where it failed.
 */
export async function retireCommand(id: string, flags: RetireFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const place = await commandPlace(flags);
  const { directory } = place;
  const { image } = await findImage(directory, id);
  const options = { ...place.policyOptions, signal };
  await writePolicy(directory, options);
  const retired = await retireImage(directory, image.id, { signal });
  const { path, warnings, notes } = await writePolicy(directory, options);
  for (const warning of warnings) warn(warning);
  note(image.status === 'retired' ? `image ${image.id} was retired before` : `retired image ${image.id}`);
  for (const text of [`wrote ${path}`, ...notes]) note(text);
  if (place.kind === 'development') return;
  const request = await pushRequest(place, flags, signal);
  if (request === undefined || request.settings.push === 'script') {
    if (request !== undefined) await pushImages(request);
    for (const line of remaining(retired, path, request !== undefined)) note(line);
    return;
  }
  await pushImages(request);
  note(await withdrawKey(request, retired));
}

/** Undefined where the administrator reaches the key broker by hand. */
async function pushRequest(
  place: CommandPlace,
  flags: RetireFlags,
  signal: AbortSignal,
): Promise<PushRequest | undefined> {
  const access = await automaticAccess(place);
  if (access === undefined) return undefined;
  const { builder, directory, handoffFolder, policyOptions } = place;
  return {
    access,
    settings: builder.kbs,
    policyDirectory: directory,
    policy: () => writePolicy(directory, { ...policyOptions, signal }),
    keyFolders: [handoffFolder],
    acceptInsecure: flags.acceptInsecureKbs ?? builder.kbs.acceptInsecure,
    signal,
    note,
    warn,
  };
}

/** What the key broker still has to be told: it knows nothing of this folder. */
function remaining({ resourcePath }: ImageRecord, path: string, policyIsThere: boolean): string[] {
  const removal = `delete the key at ${resourcePath}, or overwrite it where the key broker cannot delete`;
  if (policyIsThere) return [`still to do at the key broker: ${removal}`];
  return [
    'The key broker releases the key until it is told. Still to do, in this order:',
    `  upload ${path}`,
    `  ${removal}`,
  ];
}

const shown = (text: string) => clip(oneLine(text), 4000);
const note = (text: string) =>
  void process.stdout.write(`${text.startsWith('  ') ? '  ' : ''}${shown(text)}\n`);
const warn = (text: string) => void process.stderr.write(`warning: ${shown(text)}\n`);
