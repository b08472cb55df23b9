import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { lockFile } from '../../host/lock.ts';
import { workDirectory } from '../../host/temp.ts';
import { type KeyPairFiles, makeAuthority, makeServerCertificate } from './openssl.ts';

/**
 * The development KBS's own certificate authority in `<stateDirectory>/ca.crt` and `ca.key` (mode 0600), made once.
 * Development bundles pin `ca.crt`, so it must outlive the server. Two callers at once get the same one.
 * @throws UserError where the two files do not belong together.
 */
export async function developmentCa(
  stateDirectory: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<KeyPairFiles> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const files = { certFile: join(stateDirectory, 'ca.crt'), keyFile: join(stateDirectory, 'ca.key') };
  await using _lock = await lockFile(join(stateDirectory, '.lock'), { signal: options.signal });
  const certificate = await readIfPresent(files.certFile);
  if (certificate === undefined) {
    await using work = await workDirectory();
    const made = await makeAuthority(work.path);
    // The certificate goes last: where it is, its key is.
    await writeFileAtomic(files.keyFile, await readFile(made.keyFile), 0o600);
    await writeFileAtomic(files.certFile, await readFile(made.certFile), 0o644);
    return files;
  }
  if (!belongTogether(certificate, await readIfPresent(files.keyFile))) {
    throw new UserError(`cannot use ${files.certFile}: ${files.keyFile} is not its key`, {
      hint: 'remove both to have new ones made; development bundles that pin the old one must be built again',
    });
  }
  return files;
}

/** A fresh server key and certificate, in PEM, signed by the authority; nothing of them is left on disk. */
export async function serverIdentity(authority: KeyPairFiles): Promise<{ key: Buffer; cert: Buffer }> {
  await using work = await workDirectory();
  const made = await makeServerCertificate(work.path, authority);
  return { key: await readFile(made.keyFile), cert: await readFile(made.certFile) };
}

function belongTogether(certificate: Buffer, key: Buffer | undefined): boolean {
  try {
    return key !== undefined && new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
