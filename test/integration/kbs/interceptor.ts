import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { serverIdentity } from '../../../src/kbs/dev-kbs/authority.ts';
import { ask, type Fixture, type Reply } from './development-kbs.ts';

/** What stands between a client and the KBS, with a certificate of the same authority. */
export interface Interceptor extends AsyncDisposable {
  url: string;
  /** Bodies of the requests that went through, by endpoint. */
  seen: { endpoint: string; body: string }[];
}

type Alter = (
  endpoint: string,
  reply: Reply,
) => Partial<Reply> | undefined | Promise<Partial<Reply> | undefined>;

/** Passes requests on and lets `alter` change each answer. */
export async function intercept(site: Fixture, alter: Alter): Promise<Interceptor> {
  const state = join(site.folder, 'state');
  const authority = { certFile: join(state, 'ca.crt'), keyFile: join(state, 'ca.key') };
  const seen: Interceptor['seen'] = [];
  const server = createServer(await serverIdentity(authority), async (message, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
    const endpoint = message.url!.split('/')[3]!;
    const body = Buffer.concat(chunks);
    seen.push({ endpoint, body: body.toString() });
    const { cookie } = message.headers;
    const headers = cookie === undefined ? {} : { cookie };
    const reply = await ask(site.kbs, message.method!, message.url!, { body, headers });
    const { status, headers: received, text } = { ...reply, ...(await alter(endpoint, reply)) };
    const { 'set-cookie': setCookie, location } = received;
    response.writeHead(status, {
      ...(setCookie && { 'set-cookie': setCookie }),
      ...(location && { location }),
    });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
