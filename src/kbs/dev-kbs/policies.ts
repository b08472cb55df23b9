import { hasCode } from '../../host/errors.ts';
import { readTextFile } from '../../host/files.ts';
import { policyPath } from '../policy/policy.ts';
import type { Era } from './era/index.ts';
import type { PolicyInForce } from './judge.ts';
import type { Store } from './store/store.ts';

/** Tells which resource policy counts. */
export class Policies {
  readonly #registryDirectory: string;
  readonly #store: Store;
  readonly #shipped: string | undefined;

  /** @param shipped fall back to the policy that the era ships, not to the one beside the registry. */
  constructor(registryDirectory: string, store: Store, era: Era, shipped: boolean) {
    this.#registryDirectory = registryDirectory;
    this.#store = store;
    this.#shipped = shipped ? era.policy.shipped : undefined;
  }

  /** The one that an administrator sent, else the fallback. Read anew each time, as the real broker does. */
  async inForce(): Promise<PolicyInForce> {
    const posted = await this.#store.policy();
    if (posted !== undefined) return { text: posted, source: 'posted' };
    if (this.#shipped !== undefined) return { text: this.#shipped, source: 'shipped' };
    return { text: await this.own(), source: 'registry' };
  }

  /** The policy beside the registry. */
  async own(): Promise<string | undefined> {
    try {
      return await readTextFile(policyPath(this.#registryDirectory));
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }
}
