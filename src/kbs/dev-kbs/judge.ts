import type { ImageRecord } from '../registry/record.ts';
import { evidenceOf, type TokenClaims } from './attestation-token.ts';
import { type Era, eras } from './era/index.ts';
import { evaluate } from './judge/opa.ts';
import { allowedByRecord, hexDigest } from './judge/record.ts';
import { allowedByShipped } from './judge/shipped.ts';
import { Refusal } from './refusal.ts';

/** Which policy counts, and where it comes from. */
export interface PolicyInForce {
  /** Undefined where there is no file beside the registry. */
  text: string | undefined;
  source: 'posted' | 'shipped' | 'registry';
}

export interface Question {
  policy: PolicyInForce;
  /** The policy beside the registry. */
  own: string | undefined;
  era: Era;
  /** Path of Open Policy Agent. */
  opa: string | undefined;
  path: string;
  /** The active development image that has the path. */
  image: ImageRecord | undefined;
  claims: TokenClaims;
}

/**
 * Judges a request. With Open Policy Agent the text in force decides: one that was posted or shipped as the era asks
 * it, the one beside the registry as both eras ask it, because it has to serve both. Without, the registry's records
 * stand for our own text, and the shipped policies are known; any other text is refused, not guessed at.
 * @throws Refusal `PolicyEngine`
 */
export async function allowed(question: Question): Promise<boolean> {
  const { policy, own, era, opa, path, image, claims } = question;
  if (opa === undefined) {
    if (policy.source === 'registry' || policy.text === own) return allowedByRecord(image, claims);
    const answer = allowedByShipped(policy.text ?? '', claims);
    if (answer !== undefined) return answer;
    throw new Refusal('PolicyEngine', 'only Open Policy Agent can judge the posted policy: start with --opa');
  }
  if (policy.text === undefined) throw new Refusal('PolicyEngine', 'there is no policy');
  if (policy.source === 'registry') return allowedByPolicy(opa, policy.text, path, claims);
  const value = await evaluate(opa, era.policy, policy.text, path, claims);
  if (typeof value === 'boolean') return value;
  if (era.policy.undecided === 'deny') return false;
  throw new Refusal('PolicyEngine', `allow is ${value === undefined ? 'undefined' : 'not a boolean'}`);
}

/**
 * Asks a policy text through Open Policy Agent, once as an old broker and once as a new one does; anything but `true`
 * is a no.
 * @param opa path of the program.
 * @throws Refusal `PolicyEngine` where the text cannot be evaluated or the two eras disagree.
 */
export async function allowedByPolicy(
  opa: string,
  policy: string,
  path: string,
  claims: TokenClaims,
): Promise<boolean> {
  const answers: boolean[] = [];
  for (const era of Object.values(eras)) {
    const input = withMeasurement(claims, era.measurement);
    answers.push((await evaluate(opa, era.policy, policy, path, input)) === true);
  }
  if (answers.some((answer) => answer !== answers[0])) {
    throw new Refusal('PolicyEngine', 'the policy answers older and newer brokers differently');
  }
  return answers[0] === true;
}

function withMeasurement(claims: TokenClaims, encode: (hex: string) => string): TokenClaims {
  const input = structuredClone(claims);
  const { snp } = evidenceOf(input);
  if (snp !== undefined) snp.measurement = encode(hexDigest(snp.measurement));
  return input;
}
