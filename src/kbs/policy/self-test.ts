import { UserError } from '../../host/errors.ts';
import { type ImageRecord, imagesWithRights } from '../registry/record.ts';
import { askPolicy } from './rego-engine.ts';
import { casesOf, type PolicyCase } from './self-test-cases.ts';
import type { MinimumTcb } from './text.ts';

/** A case and what the policy answered. */
export interface TriedCase extends PolicyCase {
  allowed: boolean;
}

export interface TryOptions {
  /** Path of Open Policy Agent. */
  engine: string;
  minTcb?: MinimumTcb | undefined;
  signal?: AbortSignal | undefined;
}

/** How many images a self-test tries; more would slow every build and find nothing that these do not. */
const sampleSize = 8;

/**
 * Images that stand for all: some spread evenly over the resource paths, and the newest. The same images give the
 * same choice.
 */
export function sampleOf(images: readonly ImageRecord[], size = sampleSize): ImageRecord[] {
  if (images.length <= size) return [...images];
  const sorted = images.toSorted((one, other) => (one.resourcePath < other.resourcePath ? -1 : 1));
  const newest = images.reduce((latest, image) => (image.builtAt >= latest.builtAt ? image : latest));
  const spread = Array.from(
    { length: size - 1 },
    (_, index) => sorted[Math.floor((index * sorted.length) / (size - 1))]!,
  );
  return [...new Set([...spread, newest])];
}

/** Asks a policy about images, each against the paths of some others. */
export async function tryPolicy(
  text: string,
  tried: readonly ImageRecord[],
  all: readonly ImageRecord[],
  options: TryOptions,
): Promise<TriedCase[]> {
  const { engine, minTcb, signal } = options;
  const others = sampleOf(imagesWithRights(all));
  const cases = tried.flatMap((image) => casesOf(image, others, minTcb));
  if (cases.length === 0) cases.push(...casesOf(nobodysImage, [], minTcb));
  const answers = await askPolicy(engine, text, cases, signal);
  return cases.map((each, index) => ({ ...each, allowed: answers[index]! }));
}

/** Stands for a VM that no registry knows, so that a policy without images is tried as well. */
const nobodysImage: ImageRecord = {
  id: '000000000000',
  name: 'nobody',
  resourcePath: 'cvm-builder-self-test/none/id',
  digests: [
    { vcpus: 1, cpu: 'EPYC-v4', guestFeatures: '0x1', firmwareSha256: '0'.repeat(64), hex: '5a'.repeat(48) },
  ],
  builtAt: '1970-01-01T00:00:00Z',
  status: 'retired',
  kind: 'production',
};

/**
 * Tries a policy text before it is written: some active images and the newest, and some retired ones, each allowed
 * on its own path alone.
 * @returns how many cases were tried.
 * @throws UserError naming the cases that went wrong, or the engine's error.
 */
export async function selfTest(
  text: string,
  images: readonly ImageRecord[],
  options: TryOptions,
): Promise<number> {
  const active = sampleOf(imagesWithRights(images));
  const retired = sampleOf(
    images.filter(({ status }) => status === 'retired'),
    3,
  );
  const tried = await tryPolicy(text, [...active, ...retired], images, options);
  const wrong = tried.filter(({ allowed, expected }) => allowed !== expected);
  if (wrong.length === 0) return tried.length;
  const opened = wrong.some(({ allowed }) => allowed);
  throw new UserError(
    `cannot write the policy: ${wrong.length} of ${tried.length} trial requests got the wrong answer`,
    {
      details: wrong.slice(0, 10).map(describe),
      hint: opened
        ? 'a rule outside of the managed part releases keys that are not its own: "cvm policy lint" names it'
        : 'a rule outside of the managed part gets in the way: "cvm policy lint" names it',
    },
  );
}

function describe({ image, era, title, allowed }: TriedCase): string {
  return `image ${image}, key brokers ${era}, ${title}: ${allowed ? 'allowed' : 'denied'}`;
}
