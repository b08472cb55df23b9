import { join, resolve } from 'node:path';
import { type KbsAccess, kbsAccess } from '../../build/kbs-access.ts';
import { pushImages } from '../../build/push.ts';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { readTextFile } from '../../host/files.ts';
import { shellLine } from '../../host/run.ts';
import { handleSignals } from '../../host/signals.ts';
import {
  describePush,
  type PushPlan,
  planPush,
  productionRegistry,
  pushScriptName,
} from '../../kbs/client/index.ts';
import { policyPath, type Registry, writePolicy } from '../../kbs/index.ts';
import { composePolicy } from '../../kbs/policy/index.ts';
import { clip, oneLine } from '../../report/text.ts';
import { type CommandPlace, commandPlace, type DirectoryFlags } from './directory.ts';

export interface PushFlags extends DirectoryFlags {
  /** Folders with keys; `handoff/` of the output folder unless given. */
  handoff?: string[];
  dryRun?: boolean;
  acceptInsecureKbs?: boolean;
}

/** `cvm policy push`: policy, keys, reference values to the KBS that builder.yml names. */
export async function policyPushCommand(flags: PushFlags): Promise<void> {
  using interruption = handleSignals();
  if (flags.dev) {
    throw new UserError('cannot push development images: their keys protect nothing', {
      hint: 'the development KBS reads its registry itself',
      status: exitStatus.usage,
    });
  }
  const place = await commandPlace(flags);
  const access = await kbsAccess(place.builder, place.builderFolder);
  const keyFolders = flags.handoff?.map((folder) => resolve(folder)) ?? [place.handoffFolder];
  const { directory, builder } = place;
  if (flags.dryRun) return showPlan(place, access, keyFolders);
  await pushImages({
    access,
    settings: builder.kbs,
    policyDirectory: directory,
    policy: () => currentPolicy(place, interruption.signal),
    keyFolders,
    acceptInsecure: flags.acceptInsecureKbs ?? builder.kbs.acceptInsecure,
    signal: interruption.signal,
    note,
    warn,
  });
}

/** Prints what would be sent, from the files as they are: nothing is written, and nobody is asked. */
async function showPlan(
  place: CommandPlace,
  access: KbsAccess,
  keyFolders: readonly string[],
): Promise<void> {
  const path = policyPath(place.directory);
  const registry = await productionRegistry(place.directory);
  const text = await readTextFile(path).catch((error: unknown) => {
    const why = hasCode(error, 'ENOENT') ? `there is no ${path}` : `${path}: ${messageOf(error)}`;
    throw new UserError(`cannot show the push: ${why}`, { status: exitStatus.usage });
  });
  const plan = await planPush(registry, { path, text }, keyFolders);
  const args = [path, ...plan.keys.flatMap(({ image, file }) => [image.resourcePath, file])];
  const lines =
    place.builder.kbs.push === 'script'
      ? [shellLine(join(place.directory, pushScriptName), args)]
      : describePush(plan, access.url, await policyAfter(place, registry, plan));
  for (const line of lines) process.stdout.write(`${line.startsWith('  ') ? '  ' : ''}${shown(line)}\n`);
}

/** The policy that a push sends last: that of the registry without what images were before that got a new key. */
async function policyAfter(place: CommandPlace, { images }: Registry, { policy, replaced }: PushPlan) {
  if (replaced.length === 0) return policy;
  const ids = new Set(replaced.map(({ id }) => id));
  const after = images.map((image) => {
    const { previous: _, ...present } = image;
    return ids.has(image.id) ? present : image;
  });
  const { minTcb } = place.policyOptions;
  return { path: policy.path, text: (await composePolicy(policy.path, policy.text, after, minTcb)).text };
}

async function currentPolicy({ directory, policyOptions }: CommandPlace, signal: AbortSignal) {
  const { path, text, warnings, notes } = await writePolicy(directory, { ...policyOptions, signal });
  warnings.forEach(warn);
  notes.forEach(note);
  return { path, text };
}

const shown = (text: string) => clip(oneLine(text), 4000);
const note = (text: string) => void process.stdout.write(`${shown(text)}\n`);
const warn = (text: string) => void process.stderr.write(`warning: ${shown(text)}\n`);
