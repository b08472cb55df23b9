import { createPrivateKey, type KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { adminToken, defaultIdentity } from './admin-token.ts';
import { jwtClaims } from './jwt-claims.ts';

/** What proves to a KBS that an administrator asks. The key or token itself cannot be read from it by accident. */
export interface AdminCredential {
  readonly kind: 'key' | 'token';
  /** File it came from. */
  readonly file: string;
  /** What a KBS compares of its tokens besides the signature: `iss`, `role`, and `aud` of a ready token that has one. */
  readonly identity: Readonly<Record<string, unknown>>;
  /** A token for one request, to be sent at once. */
  token(): string;
}

export interface CredentialSource {
  /** `kbs.admin_key`: Ed25519 private key, PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it. */
  keyFile?: string | undefined;
  /** `kbs.admin_token`: a file with one ready token. */
  tokenFile?: string | undefined;
  /** `iss` and `role` of tokens made with the key, as a KBS from v0.21 compares them. */
  issuer?: string | undefined;
  role?: string | undefined;
  /** Milliseconds since 1970. */
  now?: number;
}

const sizeLimit = 64 * 1024;

/**
 * Reads the administrator's credential.
 * @returns it, undefined where the source names none, and warnings about its file or content.
 * @throws UserError that says what the file holds instead; never its content.
 */
export async function readCredential(
  source: CredentialSource,
): Promise<{ credential?: AdminCredential; warnings: string[] }> {
  const { keyFile, tokenFile, now = Date.now() } = source;
  if (keyFile !== undefined) return readKey(keyFile, source);
  if (tokenFile !== undefined) return readToken(tokenFile, now);
  return { warnings: [] };
}

async function readKey(file: string, { issuer, role }: CredentialSource) {
  const what = "the administrator's key";
  const { text, warnings } = await readPrivate(file, what);
  const key = ed25519Key(text, (cause, hint) => cannotUse(what, file, cause, hint));
  const credential: AdminCredential = {
    kind: 'key',
    file,
    identity: { iss: issuer ?? defaultIdentity.iss, role: role ?? defaultIdentity.role },
    token: () =>
      adminToken({
        key,
        ...(issuer === undefined ? {} : { issuer }),
        ...(role === undefined ? {} : { role }),
      }),
  };
  return { credential, warnings };
}

const makeKey = 'make one with: openssl genpkey -algorithm ed25519 -out private.key';

/** Other things that are found in key files, by the label of their PEM block. */
const notOurs: readonly [RegExp, string, string][] = [
  [
    /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/,
    'it is encrypted with a passphrase',
    'nobody is there to type it: write it out with openssl pkey, in a file that only you can read',
  ],
  [
    /BEGIN OPENSSH PRIVATE KEY/,
    'it is in the format of OpenSSH',
    `the KBS knows PKCS#8 keys only; ${makeKey}`,
  ],
  [
    /BEGIN RSA PRIVATE KEY/,
    'it is an RSA key, which KBS releases before v0.21 refuse',
    `use Ed25519; ${makeKey}`,
  ],
  [
    /BEGIN EC PRIVATE KEY/,
    'it is an EC key, which KBS releases before v0.21 refuse',
    `use Ed25519; ${makeKey}`,
  ],
  [
    /BEGIN (?:CERTIFICATE|PUBLIC KEY)/,
    'it holds no private key',
    'name the private half of the key whose public half the KBS has',
  ],
];

function ed25519Key(text: string, cannot: (cause: string, hint: string) => UserError): KeyObject {
  const begins = /-----BEGIN PRIVATE KEY-----/.test(text);
  const other = begins ? undefined : notOurs.find(([label]) => label.test(text));
  if (other !== undefined) throw cannot(other[1], other[2]);
  if (!begins) throw cannot('it is no private key in PEM', makeKey);
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // OpenSSL's own words would add nothing but its routines' names.
    throw cannot('its PEM is damaged', `restore it from a copy, or ${makeKey}`);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  const kind = (key.asymmetricKeyType ?? 'another').toUpperCase();
  throw cannot(
    `it is of kind ${kind}, and KBS releases before v0.21 take Ed25519 only`,
    `use Ed25519; ${makeKey}`,
  );
}

async function readToken(file: string, now: number) {
  const what = "the administrator's token";
  const { text, warnings } = await readPrivate(file, what);
  const token = text.trim();
  const seconds = Math.floor(now / 1000);
  const cannot = (cause: string, hint: string) => cannotUse(what, file, cause, hint);
  const { header, claims } = jwtClaims(token) ?? {};
  if (header === undefined || claims === undefined) {
    throw cannot('it is not one signed token (JWT)', 'put the token alone into the file, without "Bearer"');
  }
  const fresh = "have the KBS's operator issue a new one";
  if (typeof header.alg !== 'string' || header.alg.toLowerCase() === 'none')
    throw cannot('it is not signed', fresh);
  const { exp, nbf, role } = claims;
  const time = (value: number) => new Date(value * 1000).toISOString();
  if (exp === undefined) warnings.push(`${file}: the token never ends, which KBS releases from v0.18 refuse`);
  else if (!isTime(exp)) throw cannot('its "exp" is not a time', fresh);
  else if (exp <= seconds) throw cannot(`it expired at ${time(exp)}`, fresh);
  if (nbf !== undefined && !isTime(nbf)) throw cannot('its "nbf" is not a time', fresh);
  // The widest tolerance of a KBS is 15 minutes.
  if (isTime(nbf) && nbf > seconds + 15 * 60) {
    throw cannot(`it is valid only from ${time(nbf)}`, "wait, or check this machine's clock");
  }
  if (typeof role !== 'string')
    warnings.push(`${file}: the token has no "role", which a KBS from v0.21 demands`);
  const credential: AdminCredential = {
    kind: 'token',
    file,
    identity: { ...defaultIdentity, ...compared(claims) },
    token() {
      if (isTime(exp) && exp <= Math.floor(Date.now() / 1000))
        throw cannot(`it expired at ${time(exp)}`, fresh);
      return token;
    },
  };
  return { credential, warnings };
}

function compared({ iss, role, aud }: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ iss, role, aud }).filter(([, value]) => value !== undefined));
}

/** Seconds since 1970 that a Date can show. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < 8.64e12;
}

async function readPrivate(file: string, what: string): Promise<{ text: string; warnings: string[] }> {
  try {
    // Not blocking: a FIFO must not hang the command.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw new Error('it is not a file');
    if (found.size > sizeLimit) throw new Error('it is too large to be one');
    const text = await handle.readFile('utf8');
    const warnings =
      (found.mode & 0o077) === 0
        ? []
        : [`${file}: other accounts of this machine can read ${what}: chmod 600 it`];
    return { text, warnings };
  } catch (error) {
    const cause = hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error);
    throw cannotUse(what, file, cause, 'correct kbs.admin_key or kbs.admin_token in builder.yml');
  }
}

function cannotUse(what: string, file: string, cause: string, hint: string): UserError {
  return new UserError(`cannot use ${what} ${file}: ${cause}`, { hint, status: exitStatus.usage });
}
