import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../../../host/errors.ts';
import { writeFileAtomic } from '../../../host/files.ts';
import { lockFile } from '../../../host/lock.ts';

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
