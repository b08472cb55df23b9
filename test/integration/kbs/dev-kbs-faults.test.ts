import { expect, test } from 'vitest';
import type { Fault } from '../../../src/kbs/dev-kbs/index.ts';
import {
  admin,
  ask,
  challenge,
  evidence,
  fixture,
  guestKey,
  handshake,
  refusalOf,
} from './development-kbs.ts';

const start = (...faults: Fault[]) => fixture({ faults, inMemory: true, era: 'main' });

test('401 is the refusal of a broker whose storage fails, for the first requests only', async () => {
  await using site = await start({ kind: '401', first: 2 });
  for (const expected of ['PluginInternalError', 'PluginInternalError', 'TokenNotFound']) {
    const reply = await ask(site.kbs, 'GET', '/kbs/v0/resource/a/b/c');
    expect([reply.status, refusalOf(reply)]).toEqual([401, expected]);
  }
});

test('500 has no error body, and befalls only what its pattern names', async () => {
  await using site = await start({ kind: '500', path: /^POST .*\/resource\// });
  const headers = await admin(site.kbs);
  const failed = await ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', { body: 'x', headers });
  expect([failed.status, failed.text]).toEqual([500, '']);
  expect(await site.kbs.received.resource('a/b/c')).toBeUndefined();
  expect((await ask(site.kbs, 'GET', '/healthz')).status).toBe(200);
});

test('slow waits before it does anything', async () => {
  await using site = await start({ kind: 'slow', milliseconds: 300, path: /healthz/ });
  const begun = performance.now();
  await ask(site.kbs, 'GET', '/metrics');
  const quick = performance.now() - begun;
  await ask(site.kbs, 'GET', '/healthz');
  expect(performance.now() - begun - quick).toBeGreaterThanOrEqual(295);
});

test('drop closes the connection with nothing done', async () => {
  await using site = await start({ kind: 'drop', first: 1 });
  const options = { body: 'x', headers: await admin(site.kbs) };
  await expect(ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', options)).rejects.toMatchObject({
    code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/),
  });
  expect(await site.kbs.received.resource('a/b/c')).toBeUndefined();
  expect(site.log.at(-1)).toMatch(/ closed none fault drop$/);
  expect((await ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', options)).status).toBe(200);
});

test('drop-answer does what was asked, and the answer is lost', async () => {
  await using site = await start({ kind: 'drop-answer', first: 1 });
  const options = { body: 'x', headers: await admin(site.kbs) };
  await expect(ask(site.kbs, 'POST', '/kbs/v0/resource/a/b/c', options)).rejects.toMatchObject({
    code: 'ECONNRESET',
  });
  expect(String(await site.kbs.received.resource('a/b/c'))).toBe('x');
  expect(site.log.at(-1)).toMatch(/ closed admin fault drop-answer$/);
});

test('drop-answer cuts a body in its middle', async () => {
  await using site = await start({ kind: 'drop-answer', path: /GET .*\/resource\// });
  const { cookie } = await handshake(site.kbs);
  const path = `/kbs/v0/resource/${site.image.resourcePath}`;
  await expect(ask(site.kbs, 'GET', path, { headers: { cookie } })).rejects.toThrow('aborted');
  expect(site.kbs.requests.released).toBe(0);
});

test('a stale nonce makes the attestation fail, once', async () => {
  await using site = await start({ kind: 'stale-nonce', first: 1 });
  const { nonce, cookie } = await challenge(site.kbs);
  const body = JSON.stringify(evidence(nonce, guestKey().jwk));
  const reply = await ask(site.kbs, 'POST', '/kbs/v0/attest', { body, headers: { cookie } });
  expect(refusalOf(reply)).toBe('AttestationError');
  expect(reply.text).toContain("the nonce is not this session's");
  expect((await handshake(site.kbs)).token).toMatch(/\./);
});

test('a client that gives up while it waits does no harm', async () => {
  await using site = await start({ kind: 'slow', milliseconds: 200, first: 1 });
  const asked = fetchAndAbort(site.kbs.port);
  await asked;
  expect((await ask(site.kbs, 'GET', '/healthz')).status).toBe(200);
  await expect.poll(() => site.log.length).toBe(2);
});

/** Sends a request and closes the connection at once. */
async function fetchAndAbort(port: number): Promise<void> {
  const { connect } = await import('node:tls');
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  await new Promise((resolve) => socket.write('GET /healthz HTTP/1.1\r\nHost: kbs\r\n\r\n', resolve));
  // Long enough to be read, shorter than the fault.
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
}
