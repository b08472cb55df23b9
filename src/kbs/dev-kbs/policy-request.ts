import { Refusal } from './refusal.ts';

/**
 * Reads `{"policy": "<base64url, no padding>"}`, the body of both kinds of policy.
 * @throws Refusal `PolicyRequest` in the words of the newer era.
 */
export function readPolicyRequest(body: unknown): { policy: string } {
  const refuse = (reason: string) => new Refusal('PolicyRequest', reason);
  if (typeof body !== 'object' || body === null) throw refuse('Illegal SetPolicy Request Json');
  if (!('policy' in body)) throw refuse('No `policy` field inside SetPolicy Request Json');
  const { policy } = body;
  if (typeof policy !== 'string') throw refuse('`policy` field is not a string in SetPolicy Request Json');
  if (!/^[\w-]*$/.test(policy) || policy.length % 4 === 1) {
    throw refuse('Failed to decode policy: not base64url without padding');
  }
  try {
    return {
      policy: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
        Buffer.from(policy, 'base64url'),
      ),
    };
  } catch {
    throw refuse('Failed to decode policy: not UTF-8');
  }
}
