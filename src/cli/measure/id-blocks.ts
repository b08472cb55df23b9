import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { messageOf, UserError } from '../../host/errors.ts';
import { type DigestRow, defaultPolicy, idAuth, idBlock, idKeyDigest } from '../../measure/index.ts';
import { hexBytes, type MeasureFlags, refuse, unsigned } from './flags.ts';

/** Signs the digests: what QEMU's `sev-snp-guest` takes as `id-block=` and `id-auth=`. */
export interface IdSigner {
  /** Base64 of the 96-byte ID block and of the 4096-byte ID authentication page. */
  sign(row: DigestRow): { idBlock: string; idAuth: string };
  /** ID_KEY_DIGEST of the reports of a VM started so, hex. */
  idKeyDigest: string;
  /** AUTHOR_KEY_DIGEST, hex. */
  authorKeyDigest: string | undefined;
  warnings: string[];
}

/** The signer that the options ask for. @throws UserError for keys that cannot be used. */
export function idSigner(flags: MeasureFlags): IdSigner | undefined {
  const fields = [flags.authorKey, flags.familyId, flags.imageId, flags.guestSvn, flags.policy];
  if (flags.idKey === undefined) {
    if (fields.some((value) => value !== undefined)) refuse('cannot make an ID block without --id-key');
    return undefined;
  }
  if (flags.mode !== 'snp') refuse(`cannot make an ID block in mode ${flags.mode}: only snp has one`);
  const idKey = privateKey('--id-key', flags.idKey);
  const authorKey = flags.authorKey === undefined ? undefined : privateKey('--author-key', flags.authorKey);
  const input = {
    familyId: flags.familyId === undefined ? Buffer.alloc(16) : hexBytes('--family-id', flags.familyId, 16),
    imageId: flags.imageId === undefined ? Buffer.alloc(16) : hexBytes('--image-id', flags.imageId, 16),
    guestSvn: flags.guestSvn === undefined ? 0 : Number(unsigned('--guest-svn', flags.guestSvn, 32)),
    policy: flags.policy === undefined ? defaultPolicy : unsigned('--policy', flags.policy, 64),
  };
  const warnings = [idKey, authorKey].flatMap((key) => key?.warnings ?? []);
  if (authorKey === undefined) {
    warnings.push(
      'without --author-key: some SEV-SNP firmware refuses an ID block whose ID key nobody signed',
    );
  }
  return {
    sign({ digest }) {
      const block = idBlock({ launchDigest: digest, ...input });
      const page = idAuth(block, idKey.key, authorKey?.key);
      return { idBlock: block.toString('base64'), idAuth: page.toString('base64') };
    },
    idKeyDigest: idKeyDigest(idKey.key).toString('hex'),
    authorKeyDigest: authorKey && idKeyDigest(authorKey.key).toString('hex'),
    warnings,
  };
}

/** No key file is larger. */
const largestKey = 64 * 1024;

function privateKey(option: string, path: string): { key: KeyObject; warnings: string[] } {
  const cannot = (cause: string) =>
    new UserError(`cannot use ${option} ${path}: ${cause}`, {
      hint: 'openssl ecparam -name secp384r1 -genkey -noout makes such a key',
    });
  try {
    const found = statSync(path);
    const { size, mode } = found;
    if (!found.isFile()) throw cannot('it is not a regular file');
    if (size > largestKey) throw cannot(`it has ${size} bytes, which is no key`);
    const open = (mode & 0o077) !== 0;
    return {
      key: createPrivateKey(readFileSync(path)),
      warnings: open ? [`${path} can be read by other accounts: chmod 600`] : [],
    };
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MISSING_PASSPHRASE') throw cannot('it is encrypted');
    // OpenSSL's own words name nothing that helps.
    throw cannot(
      code === 'ENOENT' || code === 'EACCES' ? messageOf(error) : 'it is no private key in PEM form',
    );
  }
}
