import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/host/run.ts';
import { type KeyPairFiles, makeAuthority, makeServerCertificate } from '../../../src/kbs/dev-kbs/openssl.ts';

/** Certificates for tests of a client: an authority, a server's under it, and an authority of somebody else. */
export interface Certificates extends AsyncDisposable {
  folder: string;
  authority: KeyPairFiles;
  ca: string;
  strangersCa: string;
  server: { key: Buffer; cert: Buffer };
  /** The same server, with a certificate that ended yesterday. */
  expired: { key: Buffer; cert: Buffer };
}

export async function makeCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'client-servers-'));
  const strangersFolder = await mkdtemp(join(folder, 'stranger-'));
  const authority = await makeAuthority(folder);
  const stranger = await makeAuthority(strangersFolder);
  const made = await makeServerCertificate(folder, authority);
  const old = join(folder, 'old.crt');
  await writeFile(join(folder, 'index.txt'), '');
  await writeFile(
    join(folder, 'old.cnf'),
    `[ca]\ndefault_ca = own\n[own]\ndatabase = ${folder}/index.txt\nnew_certs_dir = ${folder}\npolicy = any\nrand_serial = yes\n[any]\ncommonName = supplied\n[san]\nsubjectAltName = IP:127.0.0.1\n`,
  );
  const dates = ['-startdate', '20240101000000Z', '-enddate', '20240201000000Z', '-md', 'sha256'];
  const signer = ['-cert', authority.certFile, '-keyfile', authority.keyFile, '-extensions', 'san'];
  const files = ['-config', join(folder, 'old.cnf'), '-in', join(folder, 'server.csr'), '-out', old];
  await run('openssl', ['ca', '-batch', '-notext', ...dates, ...signer, ...files]);
  const key = await readFile(made.keyFile);
  return {
    folder,
    authority,
    ca: await readFile(authority.certFile, 'utf8'),
    strangersCa: await readFile(stranger.certFile, 'utf8'),
    server: { key, cert: await readFile(made.certFile) },
    expired: { key, cert: await readFile(old) },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** What a purpose-made server was asked. */
export interface Asked {
  method: string;
  url: string;
  authorization: string | undefined;
  body: string;
}

export interface OwnServer extends AsyncDisposable {
  url: string;
  port: number;
  asked: Asked[];
  /** Connections that were opened to it. */
  connections: number;
}

type Answer = (request: Asked, response: ServerResponse, message: IncomingMessage) => void;

/** A TLS server with one behaviour. */
export async function ownServer(
  identity: { key: Buffer; cert: Buffer },
  answer: Answer,
  options: { maxVersion?: 'TLSv1.1' | 'TLSv1.2'; minVersion?: 'TLSv1' } = {},
): Promise<OwnServer> {
  const asked: Asked[] = [];
  const weak = options.maxVersion === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {};
  const server = createServer({ ...identity, ...options, ...weak }, async (message, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = '', url = '', headers } = message;
    const body = Buffer.concat(chunks).toString();
    asked.push({ method, url, authorization: headers.authorization, body });
    answer(asked.at(-1)!, response, message);
  });
  const own: OwnServer = {
    url: '',
    port: 0,
    asked,
    connections: 0,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  server.on('connection', () => {
    own.connections += 1;
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  own.port = (server.address() as AddressInfo).port;
  own.url = `https://127.0.0.1:${own.port}`;
  return own;
}

/** Asks another server the same, as a proxy would. */
export async function passOn(
  url: string,
  ca: string,
  asked: Pick<Asked, 'method' | 'url' | 'body'>,
  authorization: string | undefined,
): Promise<{ status: number; body: Buffer }> {
  const answered = Promise.withResolvers<IncomingMessage>();
  const headers = authorization === undefined ? {} : { authorization };
  const outgoing = request(`${url}${asked.url}`, { method: asked.method, ca, agent: false, headers });
  outgoing.on('response', answered.resolve).on('error', answered.reject).end(asked.body);
  const message = await answered.promise;
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return { status: message.statusCode!, body: Buffer.concat(chunks) };
}
