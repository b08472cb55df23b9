import { join } from 'node:path';
import { type ReferenceValues, type StoredValue, storedValues } from './reference-values.ts';
import type { Storage } from './storage.ts';

/** What administrators have sent to a development KBS, for tests to look at. */
export interface Received {
  /** Bytes at a resource path. */
  resource(path: string): Promise<Buffer | undefined>;
  /** Text of the resource policy. */
  policy(): Promise<string | undefined>;
  /** Text of an attestation policy. No development KBS evaluates these. */
  attestationPolicy(id: string): Promise<string | undefined>;
  /** By name, expired ones included. */
  referenceValues(): Promise<ReferenceValues>;
}

/** Keeps what administrators send: resources, policies and reference values. */
export class Store implements Received {
  readonly #storage: Storage;
  /** Changes of the reference values take turns: each reads all of them and writes all of them. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** @param path three checked segments. */
  async setResource(path: string, bytes: Buffer): Promise<void> {
    await this.#storage.write(join('repository', path), bytes);
  }

  async resource(path: string): Promise<Buffer | undefined> {
    return this.#storage.read(join('repository', path));
  }

  /** @returns whether there was one. */
  async deleteResource(path: string): Promise<boolean> {
    return this.#storage.remove(join('repository', path));
  }

  async setPolicy(text: string): Promise<void> {
    await this.#storage.write('resource-policy.rego', Buffer.from(text));
  }

  async policy(): Promise<string | undefined> {
    return (await this.#storage.read('resource-policy.rego'))?.toString('utf8');
  }

  /** @param id letters, digits, `-` and `_`. */
  async setAttestationPolicy(id: string, text: string): Promise<void> {
    await this.#storage.write(join('attestation-policies', `${id}.rego`), Buffer.from(text));
  }

  async attestationPolicy(id: string): Promise<string | undefined> {
    return (await this.#storage.read(join('attestation-policies', `${id}.rego`)))?.toString('utf8');
  }

  /** Each name replaces its old value as a whole; lists are not merged. */
  async addReferenceValues(values: ReadonlyMap<string, StoredValue>): Promise<void> {
    const change = async () => {
      const all = new Map([...(await this.storedValues()), ...values]);
      await this.#storage.write(
        'reference-value-records.json',
        Buffer.from(JSON.stringify(Object.fromEntries(all))),
      );
    };
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => {});
    await done;
  }

  async storedValues(): Promise<Map<string, StoredValue>> {
    const bytes = await this.#storage.read('reference-value-records.json');
    return storedValues(bytes?.toString('utf8') ?? '{}');
  }

  async referenceValues(): Promise<ReferenceValues> {
    const all = await this.storedValues();
    return Object.fromEntries([...all].map(([name, { value }]) => [name, value]));
  }
}
