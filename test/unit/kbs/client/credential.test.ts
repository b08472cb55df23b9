import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCredential } from '../../../../src/kbs/client/credential.ts';
import { jwtClaims } from '../../../../src/kbs/client/jwt-claims.ts';
import { signJwt, verifyJwt } from '../../../../src/kbs/jwt.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credential-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(text: string, mode = 0o600): Promise<string> {
  const path = join(folder, randomBytes(6).toString('hex'));
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

const pair = generateKeyPairSync('ed25519');
const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
const now = Date.UTC(2026, 0, 1);
const seconds = now / 1000;

describe('a key', () => {
  test('makes short tokens of its own for each request', async () => {
    const { credential, warnings } = await readCredential({
      keyFile: await file(pem),
      role: 'r',
      issuer: 'i',
    });
    expect(warnings).toEqual([]);
    const claims = verifyJwt(credential!.token(), {
      algorithm: 'EdDSA',
      key: pair.publicKey,
      now: Math.floor(Date.now() / 1000),
      leeway: 1,
    });
    expect(claims).toMatchObject({ role: 'r', iss: 'i' });
    expect(claims).not.toHaveProperty('aud');
    expect((claims.exp as number) - (claims.iat as number)).toBeLessThanOrEqual(300);
  });

  test('does not show when the credential is printed', async () => {
    const { credential } = await readCredential({ keyFile: await file(pem) });
    const body = pem.split('\n')[1]!;
    expect(inspect(credential, { depth: 9, showHidden: true }) + JSON.stringify(credential)).not.toContain(
      body,
    );
  });

  test('that others can read is taken, with a warning', async () => {
    const { credential, warnings } = await readCredential({ keyFile: await file(pem, 0o644) });
    expect(credential).toBeDefined();
    expect(warnings).toEqual([expect.stringContaining('chmod 600')]);
  });

  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const cases: [string, string | Buffer, RegExp][] = [
    ['RSA', rsa.export(pkcs8), /of kind RSA/],
    ['RSA in its old format', rsa.export({ type: 'pkcs1', format: 'pem' }), /an RSA key/],
    ['EC', ec.export(pkcs8), /of kind EC/],
    ['EC in its old format', ec.export({ type: 'sec1', format: 'pem' }), /an EC key/],
    ['Ed448', generateKeyPairSync('ed448').privateKey.export(pkcs8), /of kind ED448/],
    [
      'encrypted',
      pair.privateKey.export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'x' }),
      /encrypted with a passphrase/,
    ],
    ['public', pair.publicKey.export({ type: 'spki', format: 'pem' }), /no private key/],
    ['of OpenSSH', '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n', /format of OpenSSH/],
    ['damaged', pem.replace(/\n.{8}/, '\n!!!!!!!!'), /damaged/],
    ['no PEM', 'hello', /no private key in PEM/],
    ['empty', '', /no private key in PEM/],
  ];
  test.each(cases)('that is %s is refused by what it is', async (_, text, message) => {
    const refused = readCredential({ keyFile: await file(String(text)) });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ name: 'UserError', hint: expect.stringMatching(/./) });
    const secret = String(text).split('\n')[1];
    if (secret) {
      await refused.catch((error: Error) => {
        expect(inspect(error, { depth: 9 })).not.toContain(secret);
      });
    }
  });

  test('that is missing, or a folder, is named', async () => {
    const missing = join(folder, 'missing');
    await expect(readCredential({ keyFile: missing })).rejects.toThrow(`${missing}: there is no such file`);
    await expect(readCredential({ keyFile: folder })).rejects.toThrow(/it is not a file/);
  });
});

describe('a token', () => {
  const make = (claims: Record<string, unknown>) => signJwt('EdDSA', pair.privateKey, claims);

  test('is sent as it is', async () => {
    const token = make({ role: 'admin', exp: 4e9 });
    const { credential, warnings } = await readCredential({ tokenFile: await file(`${token}\n`), now });
    expect([credential!.token(), warnings]).toEqual([token, []]);
  });

  test.each([
    ['has expired', { role: 'a', exp: seconds - 1 }, /expired at 2025-12-31T23:59:59/],
    [
      'begins later',
      { role: 'a', exp: seconds + 9000, nbf: seconds + 3600 },
      /valid only from 2026-01-01T01:00/,
    ],
    ['has an exp that is no number', { role: 'a', exp: 'soon' }, /"exp" is not a time/],
    ['has an exp beyond all dates', { role: 'a', exp: 1e300 }, /"exp" is not a time/],
  ])('that %s is refused', async (_, claims, message) => {
    const token = make(claims);
    const refused = readCredential({ tokenFile: await file(token), now });
    await expect(refused).rejects.toThrow(message);
    await refused.catch((error: Error) => expect(inspect(error)).not.toContain(token));
  });

  test.each(['', 'Bearer a.b.c', 'a.b', '{"token":1}', 'not.a.token'])('%j is none', async (text) => {
    await expect(readCredential({ tokenFile: await file(text), now })).rejects.toThrow(
      /not one signed token/,
    );
  });

  test('without a signature is refused', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${part({ alg: 'none' })}.${part({ exp: 4e9 })}.AA`;
    await expect(readCredential({ tokenFile: await file(none), now })).rejects.toThrow(/not signed/);
  });

  test('as trustee-cli writes it (no role, no exp) is taken with warnings for the newer releases', async () => {
    const { warnings } = await readCredential({ tokenFile: await file(make({ issuer: 'x' })), now });
    expect(warnings.join(' ')).toMatch(/never ends.*no "role"/);
  });

  test('that expires while a push runs is not sent any more', async () => {
    const past = Math.floor(Date.now() / 1000) - 10;
    const { credential } = await readCredential({
      tokenFile: await file(make({ role: 'a', exp: past })),
      now: (past - 100) * 1000,
    });
    expect(() => credential!.token()).toThrow(/expired/);
  });
});

test('nothing named, nothing read', async () => {
  expect(await readCredential({})).toEqual({ warnings: [] });
});

test('claims are read only from what has the form of a token', () => {
  expect(jwtClaims('a.b.c')).toBeUndefined();
  expect(jwtClaims(`${Buffer.from('[]').toString('base64url')}.e30.AA`)).toBeUndefined();
  expect(jwtClaims('e30.e30.AA')).toEqual({ header: {}, claims: {} });
});
