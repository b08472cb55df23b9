import { hasCode, messageOf, type UserError } from '../host/errors.ts';
import { readTextFile } from '../host/files.ts';

const hint = 'set kbs.ca in builder.yml, or put it at binaries/rootCA.crt';

/**
 * The key broker's certificate, which goes into bundles.
 * @param refuse makes the error from a cause and a hint
 * @returns PEM text
 * @throws what `refuse` makes, where the file is not there, or holds something else, or a private key, which would go
 *   along.
 */
export async function readCertificate(
  file: string,
  refuse: (cause: string, hint: string) => UserError,
): Promise<string> {
  const text = await readTextFile(file).catch((error: unknown) => {
    const missing = hasCode(error, 'ENOENT');
    throw refuse(missing ? "the key broker's certificate is missing" : `${file}: ${messageOf(error)}`, hint);
  });
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw refuse(`${file} holds a private key`, 'it must hold the certificate alone');
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw refuse(`${file} holds no PEM certificate`, 'see kbs.ca');
  }
  return text;
}
