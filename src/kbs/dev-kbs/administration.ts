import { checkAdmin } from './admin/check.ts';
import type { Answer, Context } from './context.ts';
import { parsePolicy } from './judge/opa.ts';
import { readPolicyRequest } from './policy-request.ts';
import { Refusal, reasonOf } from './refusal.ts';
import { jsonOf, type KbsRequest } from './request.ts';
import { readRvpsMessage } from './store/reference-values.ts';

/** Policies and reference values: what only an administrator may read and write. */
export class Administration {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Stores a resource policy that parses; what it defines is not looked at, as in both eras. */
  async setPolicy(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    const { policy } = readPolicyRequest(jsonOf(request));
    await this.#parse(policy);
    await this.#context.store.setPolicy(policy);
    return {};
  }

  /** Without an engine nothing is parsed here; a text that cannot be judged is refused when it is asked. */
  async #parse(policy: string): Promise<void> {
    const { opa, era } = this.#context;
    if (opa !== undefined) await parsePolicy(opa, era.policy, policy);
  }

  async policy(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    const { text } = await this.#context.policies.inForce();
    if (this.#context.era.policyReadBack === 'names') {
      return {
        body: JSON.stringify(text === undefined ? [] : ['resource-policy']),
        type: 'application/json',
      };
    }
    if (text === undefined) throw new Refusal('PolicyEngine', 'there is no policy');
    return { body: Buffer.from(text).toString('base64url'), type: 'text/xml' };
  }

  /** Stores an attestation policy. None is ever evaluated here: the claims are made up anyway. */
  async setAttestationPolicy(request: KbsRequest): Promise<Answer> {
    if (this.#context.era.attestationPolicyNeedsAdmin) checkAdmin(this.#context, request);
    try {
      const body = jsonOf(request);
      const { policy } = readPolicyRequest(body);
      const id = (body as { policy_id?: unknown }).policy_id;
      if (typeof id !== 'string' || !/^[\w-]{1,200}$/.test(id)) throw new Error('illegal policy id');
      await this.#parse(policy);
      await this.#context.store.setAttestationPolicy(id, policy);
    } catch (error) {
      throw new Refusal('AttestationError', reasonOf(error), 'Set Attestation Policy failed');
    }
    return {};
  }

  async addReferenceValues(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    try {
      await this.#context.store.addReferenceValues(readRvpsMessage(jsonOf(request), this.#context.now()));
    } catch (error) {
      throw new Refusal('RvpsError', `Failed to register reference value: ${reasonOf(error)}`);
    }
    return { type: 'application/json' };
  }

  /** All values that have not expired, or the one in the path; the older era does not look at the path. */
  async referenceValues(request: KbsRequest): Promise<Answer> {
    checkAdmin(this.#context, request);
    const { era, store, now } = this.#context;
    const all = await store.storedValues();
    if (era.referenceValues === 'all') {
      const current = [...all].filter(([, { expires }]) => expires > now());
      const values = Object.fromEntries(current.map(([name, { value }]) => [name, value]));
      return { body: JSON.stringify(values), type: 'application/json' };
    }
    const one = all.get(request.path);
    if (one === undefined) throw new Refusal('RvpsError', 'Failed to get reference_values: no such value');
    return { body: JSON.stringify(one.value), type: 'application/json' };
  }
}
