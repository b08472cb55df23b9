import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';
import { developmentCa } from '../../../src/kbs/dev-kbs/index.ts';
import { ask, challenge, type Fixture, fixture, type Reply } from './development-kbs.ts';
import { intercept } from './interceptor.ts';

const script = templatePath('initrd/kbs-sample-client');
let site: Fixture;
let scratch: string;

beforeAll(async () => {
  site = await fixture();
  scratch = await mkdtemp(join(tmpdir(), 'sample-client-test-'));
});

afterAll(async () => {
  await site[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

beforeEach(() => {
  site.clock.ahead = 0;
});

interface Call {
  url?: string;
  caFile?: string;
  path?: string;
  env?: Record<string, string>;
}

/** Runs the client as the initrd does, under busybox's shell. */
async function client(call: Call = {}) {
  const { url = site.kbs.url, caFile = site.kbs.caFile, path = site.image.resourcePath, env = {} } = call;
  const args = ['--url', url, '--cert-file', caFile, 'get-resource', '--path', path];
  const result = await execa('busybox', ['ash', script, ...args], {
    reject: false,
    stripFinalNewline: false,
    env: { PATH: process.env.PATH ?? '', TMPDIR: scratch, ...env },
    extendEnv: false,
  });
  // Whatever happens, it leaves no file behind and says at most one line.
  expect(await readdir(scratch)).toEqual([]);
  expect(result.stderr.split('\n').length).toBeLessThanOrEqual(2);
  return { status: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

const refused = (message: RegExp) => ({ status: 1, stdout: '', stderr: expect.stringMatching(message) });

/** Changes members of a JSON answer. */
function changed(reply: Reply, changes: Record<string, unknown>): Partial<Reply> {
  return { text: JSON.stringify({ ...JSON.parse(reply.text), ...changes }) };
}

test('shellcheck finds nothing', async () => {
  await execa('shellcheck', [
    '--shell=sh',
    '--enable=quote-safe-variables,check-unassigned-uppercase',
    script,
  ]);
});

test('prints the resource as base64 and a newline, and nothing else', async () => {
  const { status, stdout, stderr } = await client();
  expect(stderr).toBe('');
  expect(stdout).toBe(`${site.key.reveal().toString('base64')}\n`);
  expect(status).toBe(0);
});

test('works under other POSIX shells too', async () => {
  const args = ['--url', `${site.kbs.url}/`, '--cert-file', site.kbs.caFile, 'get-resource', '--path'];
  const { stdout } = await execa('dash', [script, ...args, site.image.resourcePath], {
    env: { TMPDIR: scratch },
  });
  expect(stdout).toBe(site.key.reveal().toString('base64'));
});

test('attest prints the token of a handshake, and asks for no resource', async () => {
  const before = { ...site.kbs.requests };
  const pinned = ['--url', site.kbs.url, '--cert-file', site.kbs.caFile];
  const run = (...args: string[]) =>
    execa('busybox', ['ash', script, ...pinned, ...args], { reject: false, env: { TMPDIR: scratch } });
  const { stdout, exitCode } = await run('attest');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  expect(site.kbs.requests).toMatchObject({ attest: before.attest + 1, resource: before.resource });
  const answer = await ask(site.kbs, 'GET', `/kbs/v0/resource/${site.image.resourcePath}`, {
    headers: { authorization: `Bearer ${stdout}` },
  });
  expect(answer.status).toBe(200);
  expect(await readdir(scratch)).toEqual([]);
  expect((await run('attest', '--path', 'a/b/c')).stderr).toContain('attest takes no path');
});

test('any bytes come through, NUL and newlines included', async () => {
  await using other = await fixture();
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 256));
  await writeFile(other.image.keyFile!, bytes);
  const { stdout } = await client({ url: other.kbs.url, caFile: other.kbs.caFile });
  expect(stdout).toBe(`${bytes.toString('base64')}\n`);
});

test('a secret is in no argument and no environment of any program it starts', async () => {
  const recorder = await mkdtemp(join(tmpdir(), 'sample-client-spy-'));
  const record = join(recorder, 'record');
  const programs = join(recorder, 'bin');
  await mkdir(programs);
  for (const name of ['curl', 'jose', 'sha384sum', 'base64', 'mktemp', 'rm', 'head', 'cat']) {
    const { stdout } = await execa('sh', ['-c', `command -v ${name}`]);
    const spy = `#!/bin/sh\n{ printf '%s\\n' ${name} "$@"; env; } >> ${record}\nexec ${stdout} "$@"\n`;
    await writeFile(join(programs, name), spy, { mode: 0o755 });
  }
  const { status, stdout } = await client({ env: { PATH: `${programs}:${process.env.PATH}` } });
  expect(status).toBe(0);
  const seen = await readFile(record, 'utf8');
  expect(seen).toContain('--cacert');
  expect(seen).not.toContain(stdout.trim());
  expect(seen).not.toContain(site.key.reveal().toString('ascii'));
  expect(seen).not.toMatch(/"d"|kbs-session-id=/);
  await rm(recorder, { recursive: true });
});

describe('refusals are final (status 1)', () => {
  test('the policy denies', async () => {
    const { stderr, ...rest } = await client({ path: 'keys/root/another' });
    expect(stderr).toBe(
      `kbs-sample-client: refused by 127.0.0.1:${site.kbs.port} (resource: status 401 PolicyDeny)\n`,
    );
    expect(rest).toEqual({ status: 1, stdout: '' });
  });

  test('a stale nonce', async () => {
    const { nonce } = await challenge(site.kbs);
    await using between = await intercept(site, (endpoint, reply) =>
      endpoint === 'auth' ? changed(reply, { nonce }) : undefined,
    );
    expect(await client({ url: between.url })).toEqual(
      refused(/refused .*attest: status 401 AttestationError/),
    );
    expect(between.seen.map(({ endpoint }) => endpoint)).toEqual(['auth', 'attest']);
  });

  test('a session that expires on the way', async () => {
    await using between = await intercept(site, (endpoint) => {
      if (endpoint === 'attest') site.clock.ahead = 6 * 60_000;
      return undefined;
    });
    expect(await client({ url: between.url })).toEqual(refused(/resource: status 401 TokenNotFound/));
  });

  test('a redirect is not followed', async () => {
    await using between = await intercept(site, () => ({ status: 302, headers: { location: site.kbs.url } }));
    expect(await client({ url: between.url })).toEqual(refused(/auth: status 302/));
    expect(between.seen).toHaveLength(1);
  });

  test.each([
    ['an error of the server', { status: 500, text: 'x' }, /auth: status 500\)/],
    [
      'a type that is no plain word',
      { status: 401, text: '{"type":"a/b\\u001b[2J"}' },
      /auth: status 401\)\n$/,
    ],
    ['no JSON', { text: 'nonce' }, /no nonce/],
    ['a nonce that is no string', { text: '{"nonce":1}' }, /no nonce/],
    ['a nonce that would end the JSON text', { text: '{"nonce":"\\"}"}' }, /malformed nonce/],
    ['a nonce of another length', { text: `{"nonce":"${'A'.repeat(42)}="}` }, /malformed nonce/],
    ['a nonce with a command in it', { text: `{"nonce":"$(reboot)${'A'.repeat(34)}="}` }, /malformed nonce/],
    [
      'a nonce with a newline',
      { text: `{"nonce":"${'A'.repeat(20)}\\n${'A'.repeat(22)}="}` },
      /malformed nonce/,
    ],
  ] as [string, Partial<Reply>, RegExp][])('challenge: %s', async (_, reply, message) => {
    await using between = await intercept(site, () => reply);
    expect(await client({ url: between.url })).toEqual(refused(message));
    expect(between.seen).toHaveLength(1);
  });

  test.each([
    ['no token', '{}'],
    ['a token of two parts', '{"token":"a.b"}'],
    ['a token with blanks', '{"token":"a.b c.d"}'],
  ])('attestation: %s', async (_, text) => {
    await using between = await intercept(site, (endpoint) => (endpoint === 'attest' ? { text } : undefined));
    expect(await client({ url: between.url })).toEqual(refused(/attest: /));
    expect(between.seen).toHaveLength(2);
  });

  /** Turns the first character of a base64url text into another one. */
  const flip = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1);
  const header = (changes: object) => (jwe: Record<string, string>) => {
    const present = JSON.parse(Buffer.from(jwe.protected!, 'base64url').toString());
    return { protected: Buffer.from(JSON.stringify({ ...present, ...changes })).toString('base64url') };
  };

  test.each<[string, (jwe: Record<string, string>) => Record<string, unknown>, RegExp]>([
    ['changed ciphertext', (jwe) => ({ ciphertext: flip(jwe.ciphertext!) }), /does not open/],
    ['changed tag', (jwe) => ({ tag: flip(jwe.tag!) }), /does not open/],
    ['changed key', (jwe) => ({ encrypted_key: flip(jwe.encrypted_key!) }), /does not open/],
    ['changed IV', (jwe) => ({ iv: flip(jwe.iv!) }), /does not open/],
    [
      'another sender',
      header({ epk: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) } }),
      /not open/,
    ],
    ['compression', header({ zip: 'DEF' }), /unexpected JWE algorithm/],
    ['direct agreement', header({ alg: 'ECDH-ES' }), /unexpected JWE algorithm/],
    ['another cipher', header({ enc: 'A128CBC-HS256' }), /unexpected JWE algorithm/],
    ['short tag', () => ({ tag: 'AAAA' }), /malformed JWE/],
    ['no ciphertext', () => ({ ciphertext: '' }), /malformed JWE/],
    ['a member that is no string', () => ({ iv: 1 }), /malformed JWE/],
    ['a header that is no JSON', () => ({ protected: 'A'.repeat(120) }), /malformed JWE/],
  ])('JWE: %s', async (_, change, message) => {
    await using between = await intercept(site, (endpoint, reply) =>
      endpoint === 'resource' ? changed(reply, change(JSON.parse(reply.text))) : undefined,
    );
    expect(await client({ url: between.url })).toEqual(refused(message));
    expect(between.seen).toHaveLength(3);
  });

  test('an unprotected header and further recipients have no effect', async () => {
    await using between = await intercept(site, (endpoint, reply) =>
      endpoint === 'resource' ? changed(reply, { header: { alg: 'dir' }, recipients: [{}] }) : undefined,
    );
    expect((await client({ url: between.url })).status).toBe(0);
  });

  test.each([
    ['http://127.0.0.1:1', 'a/b/c', /must begin with https/],
    ['https://127.0.0.1/kbs', 'a/b/c', /host and a port only/],
    ['https://user@127.0.0.1', 'a/b/c', /host and a port only/],
    ['https://127.0.0.1', 'a/b', /repository\/type\/tag/],
    ['https://127.0.0.1', 'a/b/c/d', /repository\/type\/tag/],
    ['https://127.0.0.1', 'a/../c', /repository\/type\/tag/],
    ['https://127.0.0.1', 'a/b/c?x', /repository\/type\/tag/],
    ['https://127.0.0.1', 'a/b/c\nd', /repository\/type\/tag/],
  ])('arguments %j %j', async (url, path, message) => {
    expect(await client({ url, path })).toEqual(refused(message));
  });
});

describe('an unreachable broker may be tried again (status 3)', () => {
  const unreachable = { status: 3, stdout: '', stderr: expect.stringMatching(/cannot reach /) };

  test('nothing listens', async () => {
    expect(await client({ url: 'https://127.0.0.1:1' })).toEqual(unreachable);
  });

  test('the connection is closed during the handshake', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect(await client({ url: `https://127.0.0.1:${port}` })).toEqual(unreachable);
    server.close();
  });
});

describe('only the pinned certificate is trusted (status 4)', () => {
  const mistrusted = {
    status: 4,
    stdout: '',
    stderr: expect.stringMatching(/is not the pinned one|cannot read/),
  };

  test('a broker under another authority', async () => {
    const { certFile } = await developmentCa(join(site.folder, 'other-state'));
    expect(await client({ caFile: certFile })).toEqual(mistrusted);
  });

  test('the environment cannot add an authority or a proxy', async () => {
    const { certFile } = await developmentCa(join(site.folder, 'other-state'));
    const { caFile } = site.kbs;
    const env = { SSL_CERT_FILE: caFile, CURL_CA_BUNDLE: caFile, https_proxy: 'http://127.0.0.1:1' };
    const before = site.kbs.requests.total;
    expect(await client({ caFile: certFile, env })).toEqual(mistrusted);
    expect(site.kbs.requests.total).toBe(before);
  });

  // Debian's curl adds /etc/ssl/certs to what --cacert names, unless it is told another folder.
  test.runIf(process.getuid?.() === 0)("the machine's own authorities are not trusted", async () => {
    // Of another name than the machine's: OpenSSL looks no further for an issuer whose name it knows.
    const certFile = join(site.folder, 'pinned.crt');
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', '/dev/null'];
    await execa('openssl', ['req', '-x509', ...key, '-subj', '/CN=pinned', '-out', certFile]);
    const machine = await mkdtemp(join(tmpdir(), 'machine-certificates-'));
    await copyFile(site.kbs.caFile, join(machine, 'ca.crt'));
    await execa('openssl', ['rehash', machine]);
    const inside = (command: string) =>
      execa('unshare', ['--mount', 'sh', '-c', `mount --bind ${machine} /etc/ssl/certs && ${command}`], {
        reject: false,
        env: { TMPDIR: scratch },
      });
    const get = `get-resource --path ${site.image.resourcePath}`;
    const mistrusts = await inside(
      `busybox ash ${script} --url ${site.kbs.url} --cert-file ${certFile} ${get}`,
    );
    expect(mistrusts.stderr).toMatch(/is not the pinned one/);
    expect(mistrusts.exitCode).toBe(4);
    // The trap is real: without the other folder the same curl connects.
    const plain = await inside(`curl --silent --cacert ${certFile} ${site.kbs.url}/kbs/v0/nothing`);
    expect(plain.exitCode).toBe(0);
    await rm(machine, { recursive: true });
  });

  test('a name that the certificate does not hold', async () => {
    expect(await client({ url: `https://127.0.0.2:${site.kbs.port}` })).toMatchObject({ status: 3 });
    await using other = await fixture({ listen: { host: '127.0.0.2', port: 0 } });
    expect(await client({ url: other.kbs.url, caFile: other.kbs.caFile })).toEqual(mistrusted);
  });

  test.each([
    ['has expired', '20200101000000Z', '20200102000000Z'],
    ['is not valid yet', '20480101000000Z', '20480102000000Z'],
  ])('a certificate under it that %s is called that (status 5)', async (_, start, end) => {
    const folder = await mkdtemp(join(tmpdir(), 'dated-certificate-'));
    const config = [
      '[ca]\ndefault_ca = own',
      '[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\nx509_extensions = server',
      '[any]\ncommonName = supplied',
      '[server]\nsubjectAltName = IP:127.0.0.1\n',
    ];
    await writeFile(join(folder, 'config'), config.join('\n'));
    await writeFile(join(folder, 'index'), '');
    await writeFile(join(folder, 'serial'), '01\n');
    const openssl = (...args: string[]) => execa('openssl', args, { cwd: folder });
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];
    await openssl('req', '-x509', ...newKey, '-subj', '/CN=authority', '-keyout', 'ca.key', '-out', 'ca.crt');
    await openssl('req', ...newKey, '-subj', '/CN=broker', '-keyout', 'key', '-out', 'request');
    const signed = ['-cert', 'ca.crt', '-keyfile', 'ca.key', '-in', 'request', '-out', 'crt'];
    const dates = ['-startdate', start, '-enddate', end];
    await openssl('ca', '-batch', '-notext', '-config', 'config', ...signed, ...dates);
    const [key, cert] = await Promise.all(['key', 'crt'].map((name) => readFile(join(folder, name))));
    const server = createHttpsServer({ key, cert }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const said = await client({ url: `https://127.0.0.1:${port}`, caFile: join(folder, 'ca.crt') });
    server.close();
    await rm(folder, { recursive: true });
    expect(said).toEqual({
      status: 5,
      stdout: '',
      stderr: expect.stringMatching(/^kbs-sample-client: certificate of \S+ is out of date \(auth: /),
    });
  });

  test('no certificate, or a file that is none', async () => {
    expect(await client({ caFile: '/nonexistent' })).toEqual(mistrusted);
    expect(await client({ caFile: script })).toEqual(mistrusted);
  });
});
