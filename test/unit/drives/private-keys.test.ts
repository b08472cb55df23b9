import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { hasPrivateName, PrivateKeyScanner } from '../../../src/drives/private-keys.ts';

function isPrivate(content: Buffer | string, chunkBytes = Number.POSITIVE_INFINITY): boolean {
  const bytes = Buffer.from(content);
  const scanner = new PrivateKeyScanner();
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    scanner.push(bytes.subarray(at, Math.min(bytes.length, at + chunkBytes)));
  }
  return scanner.found;
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const password = { cipher: 'aes-256-cbc', passphrase: 'x' } as const;

test.each([
  ['PKCS #8 PEM', ed.privateKey.export({ type: 'pkcs8', format: 'pem' })],
  ['PKCS #1 PEM', rsa.privateKey.export({ type: 'pkcs1', format: 'pem' })],
  ['SEC 1 PEM', ec.privateKey.export({ type: 'sec1', format: 'pem' })],
  ['encrypted PKCS #8 PEM', ec.privateKey.export({ type: 'pkcs8', format: 'pem', ...password })],
  ['PKCS #8 DER, RSA', rsa.privateKey.export({ type: 'pkcs8', format: 'der' })],
  ['PKCS #8 DER, EC', ec.privateKey.export({ type: 'pkcs8', format: 'der' })],
  ['PKCS #8 DER, Ed25519', ed.privateKey.export({ type: 'pkcs8', format: 'der' })],
  ['PKCS #1 DER', rsa.privateKey.export({ type: 'pkcs1', format: 'der' })],
  ['SEC 1 DER', ec.privateKey.export({ type: 'sec1', format: 'der' })],
  ['encrypted PKCS #8 DER', ec.privateKey.export({ type: 'pkcs8', format: 'der', ...password })],
  ['OpenSSH', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n'],
  ['OpenPGP', '-----BEGIN PGP PRIVATE KEY BLOCK-----\n'],
  ['PuTTY', 'PuTTY-User-Key-File-3: ssh-ed25519\n'],
  ['Java key store', Buffer.from('feedfeed00000002', 'hex')],
  [
    'kubeconfig',
    `client-key-data: ${Buffer.from('-----BEGIN EC PRIVATE KEY-----\nMHc\n').toString('base64')}`,
  ],
  ['a key inside JSON', JSON.stringify({ key: ed.privateKey.export({ type: 'pkcs8', format: 'pem' }) })],
])('%s is private', (_, content) => {
  expect(isPrivate(content)).toBe(true);
});

test.each([
  ['public key PEM', rsa.publicKey.export({ type: 'spki', format: 'pem' })],
  ['public key DER, RSA', rsa.publicKey.export({ type: 'pkcs1', format: 'der' })],
  ['public key DER', ec.publicKey.export({ type: 'spki', format: 'der' })],
  ['certificate PEM', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'],
  [
    'encoded certificate',
    Buffer.from('-----BEGIN CERTIFICATE-----\nMIIB\n').toString('base64').padEnd(90, 'A'),
  ],
  ['ECDSA signature DER', Buffer.from('300602013f02013f', 'hex')],
  ['nothing', ''],
  ['one byte', '0'],
])('%s is not private', (_, content) => {
  expect(isPrivate(content)).toBe(false);
});

test('a key across chunks is found, whatever the chunk size', () => {
  const pem = `${'x'.repeat(70_000)}${ed.privateKey.export({ type: 'pkcs8', format: 'pem' })}`;
  for (const size of [7, 64, 65_536, 70_010]) expect(isPrivate(pem, size)).toBe(true);
  const binary = ec.privateKey.export({ type: 'pkcs8', format: 'der' });
  for (const size of [1, 3, 64]) expect(isPrivate(binary, size)).toBe(true);
});

test('names tell private keys where the content does not', () => {
  for (const name of [
    'client.key',
    'SERVER.KEY',
    'a.p12',
    'a.pfx',
    'a.jks',
    'id_rsa',
    'id_ed25519',
    'site-1_id_rsa',
  ]) {
    expect(hasPrivateName(name), name).toBe(true);
  }
  for (const name of [
    'client.crt',
    'rootCA.pem',
    'id_rsa.pub',
    'keys.json',
    'key',
    'monkey',
    'signature.json',
  ]) {
    expect(hasPrivateName(name), name).toBe(false);
  }
});
