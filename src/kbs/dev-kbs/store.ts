import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { hasCode } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { Refusal } from './refusal.ts';

const rvpsMessage = z.object({
  version: z.literal('0.1.0'),
  type: z.literal('sample'),
  payload: z.base64(),
});

type ReferenceValues = Record<string, unknown>;

/** What administrators send to the broker, in files below its state directory (mode 0600). */
export class Store {
  readonly #folder: string;

  constructor(stateDirectory: string) {
    this.#folder = join(stateDirectory, 'store');
  }

  /** @param path three checked segments. */
  async setResource(path: string, bytes: Buffer): Promise<void> {
    await this.#write(join('repository', path), bytes);
  }

  async resource(path: string): Promise<Buffer | undefined> {
    return this.#read(join('repository', path));
  }

  /** Takes `{"policy": "<base64url>"}`. */
  async setPolicy(body: unknown): Promise<void> {
    const { data } = z.object({ policy: z.string().regex(/^[\w-]*$/) }).safeParse(body);
    if (data === undefined) throw new Refusal('PolicyEngine', 'the body is not {"policy": base64url}');
    await this.#write('resource-policy.rego', Buffer.from(data.policy, 'base64url'));
  }

  async policy(): Promise<string | undefined> {
    return (await this.#read('resource-policy.rego'))?.toString('utf8');
  }

  /** Takes an RVPS message of type `sample`; each name in it replaces its old value as a whole. */
  async addReferenceValues(body: unknown): Promise<void> {
    const { data, error } = rvpsMessage.safeParse(body);
    if (data === undefined)
      throw new Refusal('RvpsError', `RVPS configuration failed: ${error.issues[0]!.message}`);
    const payload = parseObject(Buffer.from(data.payload, 'base64').toString('utf8'));
    const all = { ...(await this.referenceValues()), ...payload };
    await this.#write('reference-values.json', Buffer.from(JSON.stringify(all)));
  }

  async referenceValues(): Promise<ReferenceValues> {
    return parseObject((await this.#read('reference-values.json'))?.toString('utf8') ?? '{}');
  }

  async #write(name: string, bytes: Buffer): Promise<void> {
    const path = join(this.#folder, name);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, bytes, 0o600);
  }

  async #read(name: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.#folder, name));
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'EISDIR')) return undefined;
      throw error;
    }
  }
}

function parseObject(text: string): ReferenceValues {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    throw new Refusal('RvpsError', 'RVPS configuration failed: the payload is not a JSON object');
  }
}
