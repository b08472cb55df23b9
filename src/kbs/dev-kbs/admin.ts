import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, messageOf } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { lockFile } from '../../host/lock.ts';
import { verifyJwt } from '../jwt.ts';
import { Refusal } from './refusal.ts';

/** Seconds an administrator's clock may differ. */
const leeway = 60;

/** The administrator's Ed25519 key pair: `admin.key` (PKCS#8, mode 0600) and `admin.pub` (SPKI), made once. */
export async function developmentAdminKey(
  stateDirectory: string,
): Promise<{ keyFile: string; publicKey: KeyObject }> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const keyFile = join(stateDirectory, 'admin.key');
  const publicFile = join(stateDirectory, 'admin.pub');
  await using _lock = await lockFile(join(stateDirectory, '.lock'));
  try {
    return { keyFile, publicKey: createPublicKey(await readFile(publicFile)) };
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  await writeFileAtomic(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  await writeFileAtomic(publicFile, publicKey.export({ type: 'spki', format: 'pem' }), 0o644);
  return { keyFile, publicKey };
}

/**
 * Checks an administrator's bearer token.
 * @param now seconds since 1970.
 * @throws Refusal `AdminAuth`
 */
export function checkAdmin(authorization: string | undefined, key: KeyObject, now: number): void {
  const token = bearerToken(authorization);
  if (token === undefined) throw new Refusal('AdminAuth', 'Admin auth error: no bearer token');
  try {
    verifyJwt(token, { algorithm: 'EdDSA', key, now, leeway });
  } catch (error) {
    throw new Refusal('AdminAuth', `Admin auth error: ${messageOf(error)}`);
  }
}

/** The token of an `Authorization: Bearer …` header. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +([^\s]+)$/i.exec(authorization ?? '')?.[1];
}
