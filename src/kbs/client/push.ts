import { forgetPrevious, retirePrevious, takenBack } from '../registry/previous.ts';
import { rvpsMessage } from '../rvps.ts';
import { type Kbs, type KbsOptions, openKbs } from './kbs.ts';
import { destroyKeyFile, readKeyCopies } from './key-files.ts';
import { type PolicyText, type PushPlan, planPush, productionRegistry } from './push-plan.ts';
import { pushTurn } from './push-turn.ts';
import { confirmPolicy, confirmReferenceValues } from './read-back.ts';
import { refuseUnsafe } from './refuse-unsafe.ts';
import { removeKey } from './remove-key.ts';
import { setReferenceValues, setResource, setResourcePolicy } from './requests.ts';

export interface PushInput {
  kbs: Omit<KbsOptions, 'signal' | 'note'>;
  /** Folder of the registry and of policy.rego. */
  policyDirectory: string;
  /** Brings policy.rego up to date with the registry and returns it; called while no other push runs. */
  policy: () => Promise<PolicyText>;
  /** Folders `handoff/`, or `handoff/cvm_<id>`, that are searched for keys. */
  keyFolders: readonly string[];
  /** `<repository>/<type>`, below which a check asks for something that does not exist. */
  resourcePrefix: string;
  /** Push even where the KBS would hand keys to people with forged tokens. */
  acceptInsecure: boolean;
  signal: AbortSignal;
  note: (text: string) => void;
  warn: (text: string) => void;
}

export interface Pushed {
  /** Ids of the images whose key the KBS took. */
  keys: string[];
  /** How many active images the reference values are of. */
  active: number;
}

/**
 * Brings a KBS up to date with a production registry: policy, then keys, then reference values. A key without
 * its policy would be open to whatever policy was there before. Each key file is overwritten and removed once
 * the KBS has confirmed the key, never before. A push that was interrupted is simply done again.
 * @throws UserError where the registry is a development one, the KBS is unsafe, or a request fails.
 */
export async function push(input: PushInput): Promise<Pushed> {
  const { policyDirectory, signal, note, warn } = input;
  await productionRegistry(policyDirectory);
  using kbs = openKbs({ ...input.kbs, signal, note });
  await using _turn = await pushTurn(policyDirectory, signal);
  await refuseUnsafe(kbs, input);
  // The registry before the policy: then no image can be in the one and not yet in the other.
  const registry = await productionRegistry(policyDirectory);
  const plan = await planPush(registry, await input.policy(), input.keyFolders);
  for (const file of plan.leftOver)
    warn(`${file} is the key of a retired image: it is not pushed; remove it`);
  for (const file of plan.unfinished)
    warn(`${file} was left by a build that was killed: it is not pushed; retire its image and build again`);
  for (const file of plan.doomed) {
    await destroyKeyFile(file);
    note(`${file} overwritten and removed: what was left of a key that was being destroyed`);
  }
  await pushPolicy(kbs, plan, note);
  const keys = await pushKeys(kbs, plan, input);
  await takeBackEarlier(kbs, input);
  await setReferenceValues(kbs, rvpsMessage(plan.referenceValues));
  const differing = await confirmReferenceValues(kbs, plan.referenceValues);
  if (differing !== undefined) warn(differing);
  note(`reference values of ${plan.active} active images stored`);
  return { keys, active: plan.active };
}

async function pushPolicy(
  kbs: Kbs,
  { policy }: Pick<PushPlan, 'policy'>,
  note: (text: string) => void,
): Promise<void> {
  await setResourcePolicy(kbs, policy.text);
  const confirmed = await confirmPolicy(kbs, policy.text);
  note(`policy ${policy.path} stored, ${confirmed}`);
}

async function pushKeys(
  kbs: Kbs,
  { keys }: PushPlan,
  { policyDirectory, note, signal }: PushInput,
): Promise<string[]> {
  for (const { image, file, copies, unfinished } of keys) {
    signal.throwIfAborted();
    const key = await readKeyCopies(file, copies);
    try {
      await setResource(kbs, image.resourcePath, key);
    } finally {
      key.wipe();
    }
    // Known before the file goes: a push that goes on later has no other sign that the KBS has the new key.
    if (image.previous !== undefined) await retirePrevious(policyDirectory, image.id, signal);
    // From here on an interruption must not keep the file.
    const files = [file, ...copies, ...unfinished];
    for (const each of files) await destroyKeyFile(each);
    note(
      `key of ${image.id} (${image.name}) stored at ${image.resourcePath}; ${files.join(', ')} overwritten and removed`,
    );
  }
  return keys.map(({ image }) => image.id);
}

/**
 * Of images that were built again under their id, and whose new key the KBS has: takes the right of the old digests away, then
 * removes the old key. Until here the policy named both, each for its own key.
 */
async function takeBackEarlier(
  kbs: Kbs,
  { policyDirectory, policy, signal, note }: PushInput,
): Promise<void> {
  const { images } = await productionRegistry(policyDirectory);
  const replaced = takenBack(images, []);
  if (replaced.length === 0) return;
  await pushPolicy(kbs, { policy: await policy() }, note);
  for (const { id, previous } of replaced) {
    const removal = await removeKey(kbs, previous);
    await forgetPrevious(policyDirectory, id, signal);
    note(
      `the earlier digests of ${id} have no right any more; its earlier key at ${previous.resourcePath} was ${removal}`,
    );
  }
}
