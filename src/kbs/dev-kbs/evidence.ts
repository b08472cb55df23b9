import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { importP256 } from './jwe.ts';

const coordinate = z.string().regex(/^[\w-]{43}$/, 'must be base64url of 32 bytes');

/** The guest's key. Members in sorted order: this object is hashed as it is written. */
export const teePublicKey = z.object({
  alg: z.literal('ECDH-ES+A256KW'),
  crv: z.literal('P-256'),
  kty: z.literal('EC'),
  x: coordinate,
  y: coordinate,
});

export type TeePublicKey = z.infer<typeof teePublicKey>;

/** Body of `POST auth`. `extra-params` is ignored but must be there. */
export const authRequest = z.object({
  version: z.string(),
  tee: z.string(),
  'extra-params': z.unknown().refine((value) => value !== undefined, 'is missing'),
});

/** Body of `POST attest` for the sample TEE, with no device besides the VM. */
export const attestRequest = z.object({
  'init-data': z.null().optional(),
  'runtime-data': z.object({ nonce: z.string(), 'tee-pubkey': teePublicKey }),
  'tee-evidence': z.object({
    primary_evidence: z.object({ svn: z.string(), report_data: z.base64() }),
    additional_evidence: z.enum(['', '{}']),
  }),
});

export type AttestRequest = z.infer<typeof attestRequest>;

/**
 * What the evidence must carry as report data: SHA-384 of the compact JSON, members sorted, of the additional
 * evidence, the nonce and the guest's key. It binds the key to this very handshake.
 */
export function reportData(request: AttestRequest): Buffer {
  const { nonce, 'tee-pubkey': key } = request['runtime-data'];
  const { alg, crv, kty, x, y } = key;
  const bound = {
    'additional-evidence': request['tee-evidence'].additional_evidence,
    nonce,
    'tee-pubkey': { alg, crv, kty, x, y },
  };
  return createHash('sha384').update(JSON.stringify(bound)).digest();
}

/**
 * Checks sample evidence.
 * @throws Error with the reason.
 */
export function checkSampleEvidence(request: AttestRequest, nonce: string): void {
  if (request['runtime-data'].nonce !== nonce) throw new Error("the nonce is not this session's");
  const claimed = Buffer.from(request['tee-evidence'].primary_evidence.report_data, 'base64');
  const expected = reportData(request);
  if (claimed.length !== expected.length || !timingSafeEqual(claimed, expected)) {
    throw new Error('REPORT_DATA is different from the expected report data');
  }
  const { crv, kty, x, y } = request['runtime-data']['tee-pubkey'];
  importP256({ crv, kty, x, y });
}
