import { execFile } from 'node:child_process';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openKbs } from '../../../src/kbs/client/kbs.ts';
import { getResourcePolicy, setResourcePolicy } from '../../../src/kbs/client/requests.ts';
import { type Certificates, makeCertificates, ownServer } from './client-servers.ts';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await makeCertificates();
});
afterAll(() => certificates[Symbol.asyncDispose]());

const secret = 'header.claims.signature';
const credential = { kind: 'token', file: '/token', identity: {}, token: () => secret } as const;
const open = (url: string, more: Partial<Parameters<typeof openKbs>[0]> = {}) =>
  openKbs({ url, ca: certificates.ca, credential, retryAfterMs: [10, 10], timeoutMs: 5_000, ...more });

/** What storing a policy ends in; never with the token in its words. */
async function failureOf(kbs: ReturnType<typeof open>) {
  const error = await setResourcePolicy(kbs, 'package policy\n').catch((thrown: unknown) => thrown);
  kbs[Symbol.dispose]();
  expect(String(error)).not.toContain('signature');
  return error;
}

describe('verification of the server', () => {
  const nothing = () => expect.fail('a request was sent');

  test('the pinned authority is enough', async () => {
    await using server = await ownServer(certificates.server, (_, response) => response.end());
    using kbs = open(server.url);
    await setResourcePolicy(kbs, 'package policy\n');
    expect(server.asked).toMatchObject([{ method: 'POST', authorization: `Bearer ${secret}` }]);
  });

  test('another authority: nothing is sent', async () => {
    await using server = await ownServer(certificates.server, nothing);
    expect(await failureOf(open(server.url, { ca: certificates.strangersCa }))).toMatchObject({
      id: 'wrong-ca',
    });
    expect([server.asked, server.connections]).toEqual([[], 1]);
  });

  test('an expired certificate: nothing is sent', async () => {
    await using server = await ownServer(certificates.expired, nothing);
    expect(await failureOf(open(server.url))).toMatchObject({ id: 'expired-certificate' });
    expect(server.asked).toEqual([]);
  });

  test('a certificate for other names: nothing is sent', async () => {
    await using server = await ownServer(certificates.server, nothing);
    expect(await failureOf(open(`https://127.0.0.2:${server.port}`))).toMatchObject({ id: 'wrong-name' });
    expect(server.asked).toEqual([]);
  });

  test('TLS 1.1 is not spoken', async () => {
    await using server = await ownServer(certificates.server, nothing, {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
    });
    expect(await failureOf(open(server.url))).toMatchObject({ id: 'old-tls' });
  });

  test('a pinned certificate that no root vouches for is an anchor itself', async () => {
    await using server = await ownServer(certificates.server, (_, response) => response.end());
    using kbs = open(server.url, { ca: certificates.server.cert.toString() });
    await setResourcePolicy(kbs, 'package policy\n');
    expect(server.asked).toHaveLength(1);
  });

  test('no variable of the environment switches verification off, adds a root, or brings a proxy in', async () => {
    await using server = await ownServer(certificates.server, nothing);
    const proxied: string[] = [];
    const proxy = createHttpServer().on('connect', (request, socket) => {
      proxied.push(request.url ?? '');
      socket.end();
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const program = `
      const { openKbs } = await import(${JSON.stringify(new URL('../../../src/kbs/client/kbs.ts', import.meta.url).href)});
      const kbs = openKbs({ url: ${JSON.stringify(server.url)}, ca: ${JSON.stringify(certificates.strangersCa)} });
      await kbs.probe({ method: 'GET', path: '/' }).then(() => console.log('answered'), (error) => console.log(error.id));
      kbs[Symbol.dispose]();`;
    const env = {
      PATH: process.env.PATH,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_EXTRA_CA_CERTS: certificates.authority.certFile,
      NODE_USE_ENV_PROXY: '1',
      HTTPS_PROXY: proxyUrl,
      https_proxy: proxyUrl,
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      env: env as NodeJS.ProcessEnv,
    });
    proxy.close();
    expect([stdout.trim(), proxied]).toEqual(['wrong-ca', []]);
  });
});

describe('addresses', () => {
  test.each([
    ['http://kbs.example:8080', /in clear/],
    ['http://10.0.0.1', /in clear/],
    ['http://localhost.example', /in clear/],
    ['http://127.0.0.1.example', /in clear/],
    ['ftp://127.0.0.1', /not https/],
    ['https://admin:hunter2@kbs', /more than host/],
    ['https://kbs?token=hunter2', /more than host/],
    ['kbs', /not an address/],
  ])('%s is refused before anything is opened', (url, message) => {
    expect(() => open(url)).toThrow(message);
    expect(() => open(url)).not.toThrow(/hunter2/);
  });

  test.each([
    [undefined],
    [''],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('https without a certificate to trust is refused: the system’s own are never used, %#', (ca) =>
    expect(() => open('https://kbs', { ca })).toThrow(/kbs.ca/));

  test('http does for this very machine', async () => {
    const server = createHttpServer((_, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    using kbs = open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { ca: undefined });
    await setResourcePolicy(kbs, 'package policy\n');
    server.close();
  });

  test('a path before /kbs/v0 is kept', async () => {
    await using server = await ownServer(certificates.server, (_, response) => response.end());
    using kbs = open(`${server.url}/trustee/`);
    await setResourcePolicy(kbs, 'package policy\n');
    expect(server.asked[0]!.url).toBe('/trustee/kbs/v0/resource-policy');
  });
});

describe('answers that are none of a KBS', () => {
  test('a redirect is not followed, whatever it leads to', async () => {
    await using elsewhere = await ownServer(certificates.server, (_, response) => response.end());
    await using server = await ownServer(certificates.server, (_, response) =>
      response.writeHead(307, { Location: `${elsewhere.url}/kbs/v0/resource-policy` }).end(),
    );
    expect(await failureOf(open(server.url))).toMatchObject({ id: 'redirect' });
    expect(elsewhere.asked).toEqual([]);
  });

  test('a page with status 200 is no confirmation', async () => {
    await using server = await ownServer(certificates.server, (_, response) =>
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>welcome</html>'),
    );
    expect(await failureOf(open(server.url))).toMatchObject({ id: 'not-a-kbs' });
  });

  test('an endless answer is cut off', async () => {
    await using server = await ownServer(certificates.server, (_, response) => {
      const chunk = Buffer.alloc(1 << 20, 0x61);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    expect(await failureOf(open(server.url))).toMatchObject({ id: 'answer-too-large' });
  });

  test('a server that repeats the request brings no token into the error', async () => {
    await using server = await ownServer(certificates.server, ({ authorization }, response) => {
      const type = 'https://github.com/confidential-containers/kbs/errors/Unheard';
      response.writeHead(401).end(JSON.stringify({ type, detail: `you sent ${authorization}` }));
    });
    expect(String(await failureOf(open(server.url)))).toContain('you sent Bearer [secret]');
  });

  test('plain HTTP, and no HTTP at all, at a port for https', async () => {
    for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-OpenSSH_9.2\r\n']) {
      const server = createTcpServer((socket) => {
        socket.on('error', () => {});
        socket.end(answer);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      expect(await failureOf(open(`https://127.0.0.1:${port}`))).toMatchObject({ id: 'not-tls' });
      server.close();
    }
  });
});

describe('time and repetition', () => {
  test('nobody there: asked three times, then said', async () => {
    const notes: string[] = [];
    const error = await failureOf(open('https://127.0.0.1:1', { note: (text) => notes.push(text) }));
    expect(error).toMatchObject({ id: 'refused', message: expect.stringContaining('nothing listens') });
    expect(notes).toHaveLength(2);
  });

  test('a server that never answers is given up after the time, and not asked again', async () => {
    await using server = await ownServer(certificates.server, () => {});
    expect(await failureOf(open(server.url, { timeoutMs: 300 }))).toMatchObject({ id: 'timeout' });
    expect(server.asked).toHaveLength(1);
  });

  test('a server that never ends its answer is given up likewise', async () => {
    await using server = await ownServer(certificates.server, (_, response) => void response.write('x'));
    expect(await failureOf(open(server.url, { timeoutMs: 300 }))).toMatchObject({ id: 'timeout' });
  });

  test('a lost connection and a failing proxy are asked again with a new token', async () => {
    let count = 0;
    await using server = await ownServer(certificates.server, (_, response, message) => {
      count += 1;
      if (count === 1) message.socket.destroy();
      else response.writeHead(count === 2 ? 502 : 200).end();
    });
    let tokens = 0;
    const fresh = { ...credential, token: () => `token-${++tokens}` };
    using kbs = open(server.url, { credential: fresh });
    await setResourcePolicy(kbs, 'package policy\n');
    expect(server.asked.map(({ authorization }) => authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
      'Bearer token-3',
    ]);
    expect(new Set(server.asked.map(({ body }) => body)).size).toBe(1);
  });

  test.each([401, 403, 404, 413])('status %i is final', async (status) => {
    await using server = await ownServer(certificates.server, (_, response) =>
      response.writeHead(status).end(),
    );
    await failureOf(open(server.url));
    expect(server.asked).toHaveLength(1);
  });

  test('an interruption ends a request, and a wait, at once and with its own reason', async () => {
    await using silent = await ownServer(certificates.server, () => {});
    for (const url of [silent.url, 'https://127.0.0.1:1']) {
      const stop = new AbortController();
      const reason = new Error('interrupted');
      setTimeout(() => stop.abort(reason), 200);
      const began = Date.now();
      const kbs = open(url, { signal: stop.signal, retryAfterMs: [60_000], timeoutMs: 60_000 });
      expect(await failureOf(kbs)).toBe(reason);
      expect(Date.now() - began).toBeLessThan(5_000);
    }
  });

  test('one connection serves many requests, and is closed in the end', async () => {
    await using server = await ownServer(certificates.server, ({ method }, response) =>
      response.end(method === 'GET' ? '["resource-policy"]' : ''),
    );
    const kbs = open(server.url);
    for (let turn = 0; turn < 5; turn += 1) {
      await setResourcePolicy(kbs, 'package policy\n');
      await getResourcePolicy(kbs);
    }
    kbs[Symbol.dispose]();
    expect([server.asked.length, server.connections]).toEqual([10, 1]);
  });
});
