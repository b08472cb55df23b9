import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { PrivateKeyScanner } from '../../../src/drives/private-keys.ts';
import { isPublicFile } from '../../../src/drives/public-files.ts';
import { certificate } from '../../support/certificate.ts';
import { secretFiles } from '../../support/secrets.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signature = () => sign('sha256', randomBytes(8), rsa.privateKey).toString('base64');

/** As nvflare 2.9 writes them, shortened. */
const flaresOwn: Record<string, string> = {
  'startup/rootCA.pem': certificate,
  'startup/client.crt': `${certificate}${certificate}`,
  'startup/fed_client.json': JSON.stringify({
    servers: [{ name: 'example', service: { target: 'server1:8002', scheme: 'grpc' }, identity: 'server1' }],
    client: { ssl_private_key: 'client.key', ssl_cert: 'client.crt', ssl_root_cert: 'rootCA.pem' },
  }),
  'startup/sub_start.sh': '#!/usr/bin/env bash\nexport NVFLARE_ENABLE_JEMALLOC_PRELOAD=true\n',
  'startup/docker.sh': '#!/usr/bin/env bash\ndocker run -v /etc/passwd:/etc/passwd nvflare/nvflare\n',
  'startup/signature.json': JSON.stringify({ 'client.key': signature(), 'start.sh': signature() }),
  'signature.json': `{"startup": "${signature()}", "local": "${signature()}"}\n`,
  'transfer/signature.json': '{}',
  'local/log_config.json.default': JSON.stringify({
    handlers: { file: { class: 'logging.handlers.RotatingFileHandler', filename: '/applog/log.txt' } },
  }),
  'local/privacy.json.sample': '{"scopes": [], "default_scope": "public"}',
  'local/authorization.json': '{"permissions": {"project_admin": "any"}}',
};

describe('what the host may read of a FLARE kit', () => {
  it.each(Object.entries(flaresOwn))('is %s as FLARE writes it', (path, text) => {
    expect(isPublicFile(`nvflare/${path}`, Buffer.from(text))).toBe(true);
  });

  it.each([
    ...['local/resources.json', 'local/resources.json.default', 'local/snp_authorizer__p_resources.json'],
    ...['local/comm_config.json', 'local/custom/net.py', 'startup/site.sh', 'local/start.sh', 'readme.txt'],
    ...['startup/more/rootCA.pem', 'startup/client_context.tenseal', 'fed_client.json', 'startup/fed_x.json'],
  ])('is not %s, whatever it holds', (path) => {
    for (const text of Object.values(flaresOwn))
      expect(isPublicFile(`nvflare/${path}`, Buffer.from(text))).toBe(false);
  });

  it('is of the key nvflare alone', () => {
    for (const [path, text] of Object.entries(flaresOwn))
      expect(isPublicFile(`data/${path}`, Buffer.from(text))).toBe(false);
  });
});

/** Both nets, as a build has them. */
function isPlain(path: string, content: Buffer): boolean {
  const scanner = new PrivateKeyScanner();
  scanner.push(content);
  return !scanner.found && isPublicFile(path, content);
}

test.each(
  Object.entries(secretFiles()),
)('%s is not public under the name of a public file either', (_, secret) => {
  for (const path of Object.keys(flaresOwn))
    expect([path, isPlain(`nvflare/${path}`, secret)]).toEqual([path, false]);
});

test.each(
  Object.entries(secretFiles()).filter(([, content]) => content.length > 64),
)('a public file with %s behind it is not public', (_, secret) => {
  for (const [path, text] of Object.entries(flaresOwn))
    expect([path, isPlain(`nvflare/${path}`, Buffer.concat([Buffer.from(text), secret]))]).toEqual([
      path,
      false,
    ]);
});

describe('a certificate', () => {
  const isCertificate = (text: string | Buffer) =>
    isPublicFile('nvflare/startup/client.crt', Buffer.from(text));
  const der = Buffer.from(certificate.replaceAll(/-.*-|\s/g, ''), 'base64');
  const pemOf = (bytes: Buffer, label = 'CERTIFICATE') =>
    `-----BEGIN ${label}-----\n${bytes.toString('base64')}\n-----END ${label}-----\n`;

  it('may have line ends of either kind, and no other beside it', () => {
    expect(isCertificate(certificate.replaceAll('\n', '\r\n'))).toBe(true);
    expect(isCertificate(pemOf(der))).toBe(true);
    for (const text of [
      '',
      'certificate\n',
      `subject: x\n${certificate}`,
      `${certificate}x`,
      `${certificate} \n`,
    ])
      expect([text, isCertificate(text)]).toEqual([text, false]);
  });

  it('has no bytes behind its own', () => {
    expect(isCertificate(pemOf(Buffer.concat([der, Buffer.from('more')])))).toBe(false);
    expect(isCertificate(pemOf(der.subarray(0, -1)))).toBe(false);
  });

  it('is no other thing under its label, nor itself under another', () => {
    const key = rsa.privateKey.export({ type: 'pkcs8', format: 'der' });
    expect(isCertificate(pemOf(key))).toBe(false);
    expect(isCertificate(pemOf(der, 'TRUSTED CERTIFICATE'))).toBe(false);
    expect(isCertificate(der)).toBe(false);
  });
});

describe('signature.json', () => {
  const isSignatures = (text: string) => isPublicFile('nvflare/startup/signature.json', Buffer.from(text));

  it.each([
    ['another thing', JSON.stringify({ 'start.sh': randomBytes(32).toString('base64') })],
    [
      'a private key',
      JSON.stringify({ x: rsa.privateKey.export({ type: 'pkcs1', format: 'der' }).toString('base64') }),
    ],
    ['a map below', JSON.stringify({ x: { y: signature() } })],
    ['a name that stands there twice', `{"x": "${word()}", "x": "${signature()}"}`],
    ['a list', JSON.stringify([signature()])],
  ])('with %s is sealed', (_, text) => {
    expect(isSignatures(text)).toBe(false);
  });
});

function word(): string {
  return randomBytes(20).toString('hex');
}
