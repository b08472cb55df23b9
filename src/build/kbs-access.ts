import { join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import { type BuilderConfig, resolvePath } from '../config/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { pathContext, projectRoot } from './builder-file.ts';
import { readCertificate } from './certificate.ts';

/** How this machine reaches the key broker as its administrator: files, absolute, and what they are for. */
export interface KbsAccess {
  url: string;
  /** Undefined for an http address of this very machine. */
  ca: { file: string; pem: string } | undefined;
  /** At most one of the two. */
  keyFile: string | undefined;
  tokenFile: string | undefined;
  /** kbs-client, where the administrator brought one. */
  client: string | undefined;
}

/**
 * Finds what `kbs` of builder.yml names, or the files of the same purpose in `binaries/`: rootCA.crt, private.key.
 * @throws UserError where the address is missing or a file that is named is not there.
 */
export async function kbsAccess(
  { kbs }: Pick<BuilderConfig, 'kbs'>,
  builderFolder: string,
  binaries = join(projectRoot, 'binaries'),
): Promise<KbsAccess> {
  const { url } = kbs;
  if (url === undefined) throw needs('its address is not known', 'set kbs.url in builder.yml');
  const named = (key: string, value: string | undefined) => {
    if (value === undefined) return undefined;
    const found = resolvePath(value, pathContext(builderFolder));
    if ('path' in found) return found.path;
    // Not with the value: whoever mistakes the setting puts the token itself there.
    throw needs(`kbs.${key} names no file that is there`, 'correct the path in builder.yml');
  };
  const ownFile = async (name: string) => {
    const file = join(binaries, name);
    return (await pathExists(file)) ? file : undefined;
  };
  const caFile = named('ca', kbs.ca) ?? (await ownFile('rootCA.crt'));
  const tokenFile = named('admin_token', kbs.adminToken);
  const keyFile =
    named('admin_key', kbs.adminKey) ?? (tokenFile === undefined ? await ownFile('private.key') : undefined);
  if (caFile === undefined && url.startsWith('https:')) {
    throw needs('its certificate is missing', 'set kbs.ca in builder.yml, or put it at binaries/rootCA.crt');
  }
  const ca = caFile === undefined ? undefined : { file: caFile, pem: await readCertificate(caFile, needs) };
  return { url, ca, keyFile, tokenFile, client: await ownFile('kbs-client') };
}

function needs(cause: string, hint: string): UserError {
  return new UserError(`cannot reach the key broker: ${cause}`, { hint, status: exitStatus.usage });
}
