import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newDiskKey, type Secret } from '../../../src/host/secret.ts';
import { type AdminTokenOptions, adminToken } from '../../../src/kbs/client/admin-token.ts';
import {
  type DevelopmentKbs,
  type DevelopmentKbsOptions,
  startDevelopmentKbs,
} from '../../../src/kbs/dev-kbs/index.ts';
import { writeHandoff } from '../../../src/kbs/handoff.ts';
import { writePolicy } from '../../../src/kbs/policy/policy.ts';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import { addImage } from '../../../src/kbs/registry/registry.ts';
import { imageOf } from '../../unit/kbs/records.ts';

/** A development KBS with one registered image, its key, and a clock that the test may turn. */
export interface Fixture extends AsyncDisposable {
  folder: string;
  /** Holds ca.crt, ca.key, admin.key and, unless the KBS runs in memory, what administrators send. */
  stateDirectory: string;
  registryDirectory: string;
  kbs: DevelopmentKbs;
  image: ImageRecord;
  key: Secret;
  log: string[];
  /** Milliseconds added to the KBS's clock. */
  clock: { ahead: number };
}

/**
 * Starts one; its "hardware" reports the first image's digest unless told otherwise. Any option of the KBS may be
 * given: `await using site = await fixture({ era: 'main', inMemory: true, insecureTokens: true })`.
 */
export async function fixture(options: Partial<DevelopmentKbsOptions> = {}): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'development-kbs-'));
  const registryDirectory = join(folder, 'registry');
  const stateDirectory = join(folder, 'state');
  const key = newDiskKey();
  const unkeyed = imageOf(1, { kind: 'development' });
  const { keyFile } = await writeHandoff(join(folder, 'handoff'), { record: unkeyed, key });
  const image = { ...unkeyed, keyFile };
  await addImage(registryDirectory, image);
  await writePolicy(registryDirectory);
  const log: string[] = [];
  const clock = { ahead: 0 };
  const kbs = await startDevelopmentKbs({
    stateDirectory,
    registryDirectory,
    digest: image.digests[0]!.hex,
    log: (line) => log.push(line),
    now: () => Date.now() + clock.ahead,
    ...options,
  }).catch(async (error) => {
    await rm(folder, { recursive: true });
    throw error;
  });
  return {
    folder,
    stateDirectory,
    registryDirectory,
    kbs,
    image,
    key,
    log,
    clock,
    async [Symbol.asyncDispose]() {
      await kbs.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The Authorization header of an administrator of this KBS, whose token every era takes. */
export async function admin(
  kbs: Pick<DevelopmentKbs, 'adminKeyFile'>,
  options: Omit<AdminTokenOptions, 'key'> = {},
): Promise<{ authorization: string }> {
  const key = createPrivateKey(await readFile(kbs.adminKeyFile));
  return { authorization: `Bearer ${adminToken({ key, ...options })}` };
}

export interface Reply {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

/** One request, with the KBS's own certificate authority trusted. */
export async function ask(
  kbs: Pick<DevelopmentKbs, 'url' | 'caFile'>,
  method: string,
  path: string,
  options: { body?: string | Buffer; headers?: OutgoingHttpHeaders } = {},
): Promise<Reply> {
  const ca = await readFile(kbs.caFile);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(
    `${kbs.url}${path}`,
    { method, ca, agent: false, headers: options.headers ?? {} },
    resolve,
  );
  outgoing.once('error', reject).end(options.body);
  const message = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return { status: message.statusCode!, headers: message.headers, text: Buffer.concat(chunks).toString() };
}

/** The name in a refusal's error body. */
export function refusalOf(reply: Reply): string {
  return (JSON.parse(reply.text) as { type: string }).type.replace(
    'https://github.com/confidential-containers/kbs/errors/',
    '',
  );
}

export const sampleRequest = { version: '0.4.0', tee: 'sample', 'extra-params': {} };

/** A guest's fresh key, as the protocol writes it. */
export function guestKey(): { privateKey: KeyObject; jwk: Record<string, string> } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = publicKey.export({ format: 'jwk' });
  return { privateKey, jwk: { alg: 'ECDH-ES+A256KW', crv: 'P-256', kty: 'EC', x: x!, y: y! } };
}

/** The body of an attestation, with the report data that belongs to it. */
export function evidence(nonce: string, jwk: Record<string, string>) {
  const bound = JSON.stringify({ 'additional-evidence': '', nonce, 'tee-pubkey': jwk });
  const reportData = createHash('sha384').update(bound).digest('base64');
  return {
    'init-data': null,
    'runtime-data': { nonce, 'tee-pubkey': jwk },
    'tee-evidence': { primary_evidence: { svn: '1', report_data: reportData }, additional_evidence: '' },
  };
}

/** Step 1 of a handshake. */
export async function challenge(kbs: DevelopmentKbs): Promise<{ nonce: string; cookie: string }> {
  const reply = await ask(kbs, 'POST', '/kbs/v0/auth', { body: JSON.stringify(sampleRequest) });
  const { nonce } = JSON.parse(reply.text) as { nonce: string };
  return { nonce, cookie: reply.headers['set-cookie']![0]!.split(';')[0]! };
}

/** Both steps of a handshake. */
export async function handshake(
  kbs: DevelopmentKbs,
): Promise<{ cookie: string; token: string; privateKey: KeyObject }> {
  const { nonce, cookie } = await challenge(kbs);
  const { privateKey, jwk } = guestKey();
  const body = JSON.stringify(evidence(nonce, jwk));
  const reply = await ask(kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie } });
  return { cookie, token: (JSON.parse(reply.text) as { token: string }).token, privateKey };
}
