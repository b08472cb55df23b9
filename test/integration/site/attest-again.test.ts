import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shellVariables, templatePath } from '../../../src/host/template.ts';
import { retireImage } from '../../../src/kbs/registry/registry.ts';
import { type Fixture, fixture } from '../kbs/development-kbs.ts';

let site: Fixture;
let folder: string;
let runtime: string;

beforeAll(async () => {
  site = await fixture();
  folder = await mkdtemp(join(tmpdir(), 'attest-again-'));
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  site.clock.ahead = 0;
  runtime = await mkdtemp(join(folder, 'run-'));
});

interface Attempt {
  url?: string;
  path?: string;
  ca?: string;
  client?: string;
}

/** One attempt, as the watch makes it. Whatever happens, nothing is left in its folder. */
async function attempt({ url = site.kbs.url, path = site.image.resourcePath, ca, client }: Attempt = {}) {
  const settings = join(runtime, 'settings');
  await writeFile(settings, shellVariables({ kbs_url: url, kbs_path: path }));
  const args = [settings, ca ?? site.kbs.caFile, client ?? templatePath('initrd/kbs-sample-client')];
  const { stdout, stderr, exitCode } = await execa(
    'busybox',
    ['sh', templatePath('site/attest/attest-again'), ...args],
    { env: { RUNTIME_DIRECTORY: runtime, https_proxy: 'http://127.0.0.1:1' }, reject: false },
  );
  expect(await readdir(runtime)).toEqual(['settings']);
  expect(stderr).toBe('');
  return { status: exitCode, why: stdout };
}

/** A client in place of kbs-client, which does not tell refusals from failures. */
async function clientThat(script: string): Promise<string> {
  const client = join(runtime, '..', 'client');
  await writeFile(client, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return client;
}

describe('a new attestation', () => {
  it('is confirmed by the policy in force, without the key coming back', async () => {
    const before = { ...site.kbs.requests };
    expect(await attempt()).toEqual({ status: 0, why: '' });
    const { attest, resource, released } = site.kbs.requests;
    expect([attest, resource, released]).toEqual([
      before.attest + 1,
      before.resource + 1,
      before.released + 1,
    ]);
  });

  it('has no private key any more when the resource is asked for', async () => {
    const client = templatePath('initrd/kbs-sample-client');
    const spy = join(folder, 'spy');
    await mkdir(spy);
    const spied = join(spy, 'client');
    // The client's own folder, as it is when the client has ended.
    await writeFile(
      spied,
      `#!/bin/sh\nbusybox sh ${client} "$@"\nstatus=$?\nfind "$TMPDIR" -type f > ${spy}/left\nexit $status\n`,
      { mode: 0o755 },
    );
    expect((await attempt({ client: spied })).status).toBe(0);
    const left = (await readFile(join(spy, 'left'), 'utf8')).trim().split('\n');
    expect(left.map((name) => name.split('/').at(-1)).sort()).toEqual(['errors', 'token']);
  });

  it('is refused where the policy denies it', async () => {
    expect(await attempt({ path: 'keys/root/another' })).toEqual({
      status: 1,
      why: 'the policy denies it (status 401)',
    });
  });

  it('is refused as soon as the image is retired', async () => {
    await using other = await fixture();
    const of = { url: other.kbs.url, ca: other.kbs.caFile, path: other.image.resourcePath };
    expect((await attempt(of)).status).toBe(0);
    await retireImage(other.registryDirectory, other.image.id);
    expect((await attempt(of)).status).toBe(1);
  });

  it('is refused where the client fails and the broker is there', async () => {
    const client = await clientThat('echo "Error: attestation denied" >&2; exit 1');
    expect(await attempt({ client })).toEqual({
      status: 1,
      why: 'attestation failed: Error: attestation denied',
    });
  });
});

describe('no answer', () => {
  it('is a broker that is gone', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const { status, why } = await attempt({ url: `https://127.0.0.1:${port}` });
    expect(status).toBe(3);
    expect(why).toMatch(/^no attestation: kbs-sample-client: cannot reach/);
  });

  it('is a broker under another certificate, which cannot refuse either', async () => {
    await using other = await fixture();
    const client = await clientThat('exit 1');
    expect((await attempt({ url: other.kbs.url })).status).toBe(3);
    expect((await attempt({ url: other.kbs.url, client })).status).toBe(3);
  });

  it('is a broker that gives errors in place of answers', async () => {
    await using other = await fixture({ faults: [{ kind: '500' }] });
    const of = { url: other.kbs.url, ca: other.kbs.caFile };
    expect((await attempt(of)).status).toBe(3);
  });

  it('is an error at the last step', async () => {
    await using other = await fixture({ faults: [{ kind: '500', path: /resource\// }] });
    const of = { url: other.kbs.url, ca: other.kbs.caFile };
    expect(await attempt(of)).toEqual({ status: 3, why: 'no usable answer (status 500)' });
  });

  it.each([
    ['no token', ':'],
    ['more than one line', 'printf "a.b.c\\nX-Evil: 1\\n"'],
    ['odd characters', 'printf "a.b.c\\r"'],
  ])('is a client that gives %s', async (_, script) => {
    const before = site.kbs.requests.total;
    expect(await attempt({ client: await clientThat(script) })).toEqual({
      status: 3,
      why: 'the client gave no token',
    });
    expect(site.kbs.requests.total).toBe(before);
  });

  it('is a settings file that is not there', async () => {
    const args = [join(runtime, 'none'), site.kbs.caFile, '/bin/true'];
    const { exitCode } = await execa('busybox', ['sh', templatePath('site/attest/attest-again'), ...args], {
      env: { RUNTIME_DIRECTORY: runtime },
      reject: false,
    });
    expect([0, 1]).not.toContain(exitCode === 1 ? 99 : exitCode);
  });
});

it('a token of another broker counts for nothing', async () => {
  await using other = await fixture();
  // As if the client had been led to an impostor by a certificate of the system.
  const { stdout } = await execa(
    'busybox',
    [
      ...['sh', templatePath('initrd/kbs-sample-client'), '--url', other.kbs.url],
      ...['--cert-file', other.kbs.caFile, 'attest'],
    ],
    { env: { TMPDIR: runtime } },
  );
  expect(await attempt({ client: await clientThat(`echo ${stdout}`) })).toMatchObject({ status: 1 });
  await copyFile(site.kbs.caFile, join(folder, 'ca.crt'));
});
