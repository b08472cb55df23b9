import { createHash } from 'node:crypto';
import { exitStatus, UserError } from '../../host/errors.ts';
import { referenceValues } from '../handoff.ts';
import { takenBack } from '../registry/previous.ts';
import type { ImageRecord } from '../registry/record.ts';
import { type Registry, readRegistry, registryPath } from '../registry/registry.ts';
import { rvpsMessage } from '../rvps.ts';
import type { KbsRequest } from './connection.ts';
import { diskKeyBytes, findKeyFiles } from './key-files.ts';
import { deletionRequest, policyRequest, referenceValuesRequest, resourceRequest } from './requests.ts';

/** The policy text to push and the file it is in. */
export interface PolicyText {
  path: string;
  text: string;
}

/** An image whose key still lies on this machine. */
export interface KeyToPush {
  image: ImageRecord;
  file: string;
  /** The same key in other hand-off folders. */
  copies: string[];
  /** See {@link KeyFiles.unfinished}; and `doomed`. */
  unfinished: string[];
}

/** What a push will send. */
export interface PushPlan {
  policy: PolicyText;
  keys: KeyToPush[];
  /** Of all active images together: a name's old list is replaced, not extended. */
  referenceValues: Record<string, unknown>;
  /** How many images are active. */
  active: number;
  /** Key files of retired images, which nobody wants any more. */
  leftOver: string[];
  /** What killed builds left of keys of active images of which there is no whole one. */
  unfinished: string[];
  /** What is left of other keys that were being destroyed. */
  doomed: string[];
  /** Images that lose what they were before, once the KBS has their new keys. */
  replaced: ReturnType<typeof takenBack>;
}

/**
 * A registry to push from.
 * @throws UserError where there is none, or where it holds development images, whose keys protect nothing and
 * whose records no real KBS may ever act on.
 */
export async function productionRegistry(directory: string): Promise<Registry> {
  const registry = await readRegistry(directory);
  if (registry === undefined) {
    throw new UserError(`cannot push from ${directory}: there is no ${registryPath(directory)}`, {
      hint: 'build a production bundle first, or name the policy directory with --directory',
      status: exitStatus.usage,
    });
  }
  if (registry.kind !== 'production') {
    throw new UserError(
      `cannot push from ${directory}: ${registryPath(directory)} holds development images`,
      {
        hint: 'the development KBS reads its registry itself; only production images are pushed',
        status: exitStatus.usage,
      },
    );
  }
  return registry;
}

/** Finds the keys and joins the reference values of a registry's active images. */
export async function planPush(
  { images }: Registry,
  policy: PolicyText,
  keyFolders: readonly string[],
): Promise<PushPlan> {
  const keys: KeyToPush[] = [];
  const leftOver: string[] = [];
  const unfinishedOnly: string[] = [];
  const doomedOnly: string[] = [];
  for (const image of images) {
    const { whole, unfinished, doomed } = await findKeyFiles(keyFolders, image.id);
    const [file, ...copies] = whole;
    const isPushed = image.status === 'active' && file !== undefined;
    if (isPushed) keys.push({ image, file, copies, unfinished: [...unfinished, ...doomed] });
    else doomedOnly.push(...doomed);
    if (image.status === 'retired') leftOver.push(...whole, ...unfinished);
    else if (!isPushed) unfinishedOnly.push(...unfinished);
  }
  const active = images.filter(({ status }) => status === 'active');
  return {
    policy,
    keys,
    referenceValues: joinedValues(active),
    active: active.length,
    leftOver,
    unfinished: unfinishedOnly,
    doomed: doomedOnly,
    replaced: takenBack(
      images,
      keys.map(({ image }) => image.id),
    ),
  };
}

/** The reference values of several images under the names that one image has. */
export function joinedValues(images: readonly ImageRecord[]): Record<string, unknown> {
  const values = images.map(referenceValues);
  const measurements = values.flatMap(({ snp_launch_measurement }) => snp_launch_measurement);
  return {
    snp_launch_measurement: [...new Set(measurements)].sort(),
    launch_digests: values.flatMap(({ launch_digests }) => launch_digests),
  };
}

/**
 * What a push would send, in words and in order; no secret is read for it, and nothing is contacted.
 * @param after the policy without what is taken back; where nothing is, it is not asked for
 */
export function describePush(plan: PushPlan, url: string, after: PolicyText = plan.policy): string[] {
  const { policy, keys, doomed, replaced } = plan;
  const head = ({ method, path, contentType, body }: KbsRequest) => [
    `${method} ${url}${path}`,
    ...(body === undefined ? [] : [`  Content-Type: ${contentType}, ${body.byteLength} bytes`]),
    "  Authorization: Bearer <the administrator's token, not shown>",
  ];
  const policyLines = ({ path, text }: PolicyText, which: string) => [
    ...head(policyRequest(text)),
    `  ${which} ${path}, ${Buffer.byteLength(text)} bytes, SHA-256 ${sha256(text)}`,
  ];
  return [
    ...doomed.map((file) => `${file}, left of a key that was being destroyed, is overwritten and removed`),
    ...policyLines(policy, 'policy'),
    ...keys.flatMap(({ image, file, copies, unfinished }) => [
      ...head(resourceRequest(image.resourcePath, Buffer.alloc(diskKeyBytes))),
      `  <disk key, ${diskKeyBytes} bytes, not shown>, from ${file}, which is then overwritten and removed`,
      ...[...copies, ...unfinished].map((copy) => `  and so is ${copy}`),
    ]),
    ...(replaced.length === 0
      ? []
      : policyLines(after, 'policy without the earlier digests of these images,')),
    ...replaced.flatMap(({ id, previous }) => [
      ...head(deletionRequest(previous.resourcePath)),
      `  earlier key of ${id}; a KBS that cannot delete gets random bytes in its place`,
    ]),
    ...head(referenceValuesRequest(rvpsMessage(plan.referenceValues))),
    `  reference values of ${plan.active} active images, in place of all that were there`,
  ];
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
