import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { push } from '../../../src/kbs/client/push.ts';
import { removeKey } from '../../../src/kbs/client/remove-key.ts';
import { policyPath } from '../../../src/kbs/policy/policy.ts';
import { addImage, retireImage } from '../../../src/kbs/registry/registry.ts';
import { imageOf } from '../../unit/kbs/records.ts';
import { adminSite } from './client-admin.ts';
import { makeCertificates, ownServer, passOn } from './client-servers.ts';

const gone = (file: string) => expect(stat(file)).rejects.toThrow(/ENOENT/);

/** Methods and paths of the requests that changed something. */
const changes = (log: readonly string[]) =>
  log.flatMap((line) => {
    const [, request] = /((?:POST|DELETE) \S+) 200/.exec(line) ?? [];
    return request === undefined ? [] : [request];
  });

describe.each(['field', 'main'] as const)('push to a KBS of era %s', (era) => {
  test('stores policy, keys and reference values, in this order, and leaves no key file', async () => {
    await using site = await adminSite({ era });
    const [one, two] = [await site.build(1), await site.build(2)];
    const pushed = await push(site.pushInput());
    expect(pushed).toEqual({ keys: [one.image.id, two.image.id], active: 2 });
    expect(changes(site.log)).toEqual([
      'POST /kbs/v0/resource-policy',
      `POST /kbs/v0/resource/${one.image.resourcePath}`,
      `POST /kbs/v0/resource/${two.image.resourcePath}`,
      'POST /kbs/v0/reference-value',
    ]);
    const { received } = site.kbs;
    expect(await received.policy()).toBe(await readFile(policyPath(site.policyDirectory), 'utf8'));
    for (const { image, key, keyFile } of [one, two]) {
      expect((await received.resource(image.resourcePath))?.toString()).toBe(key);
      await gone(keyFile);
    }
    const values = (await received.referenceValues()).snp_launch_measurement as string[];
    for (const { image } of [one, two]) expect(values).toContain(image.digests[0]!.hex);
    expect(site.notes.join('\n')).toContain('overwritten and removed');
    const said = [...site.notes, ...site.warnings, ...site.log].join('\n');
    for (const { key } of [one, two]) expect(said).not.toContain(key);
  });

  test('says how far the policy could be confirmed', async () => {
    await using site = await adminSite({ era });
    await site.build(1);
    await push(site.pushInput());
    expect(site.notes.join('\n')).toContain(
      era === 'field' ? 'read back byte for byte' : 'which this release (v0.19 or later) does not show again',
    );
    expect(site.warnings.filter((text) => text.includes('reference values'))).toEqual([]);
  });

  test('done twice stores the same, and finds no key the second time', async () => {
    await using site = await adminSite({ era });
    const { image, key } = await site.build(1);
    await push(site.pushInput());
    expect(await push(site.pushInput())).toEqual({ keys: [], active: 1 });
    expect((await site.kbs.received.resource(image.resourcePath))?.toString()).toBe(key);
  });

  test('re-sends the reference values of all active images, and drops those of retired ones', async () => {
    await using site = await adminSite({ era });
    const [one, two] = [await site.build(1), await site.build(2)];
    await push(site.pushInput());
    await retireImage(site.policyDirectory, one.image.id);
    await push(site.pushInput());
    const values = (await site.kbs.received.referenceValues()).snp_launch_measurement as string[];
    expect(values).toContain(two.image.digests[0]!.hex);
    expect(values).not.toContain(one.image.digests[0]!.hex);
    expect(await site.kbs.received.policy()).not.toContain(one.image.resourcePath);
  });

  test('does not push the key of a retired image, and says that it lies about', async () => {
    await using site = await adminSite({ era });
    const { image, keyFile } = await site.build(1);
    await retireImage(site.policyDirectory, image.id);
    await push(site.pushInput());
    expect(await site.kbs.received.resource(image.resourcePath)).toBeUndefined();
    expect(site.warnings.join('\n')).toContain(keyFile);
    await stat(keyFile);
  });

  test('refuses a KBS that believes forged tokens, before it has sent anything', async () => {
    await using site = await adminSite({ era, insecureTokens: true });
    const { keyFile } = await site.build(1);
    await expect(push(site.pushInput())).rejects.toMatchObject({
      message: expect.stringContaining('keys would not be safe there'),
      hint: expect.stringContaining('--accept-insecure-kbs'),
      details: [expect.stringContaining('forged'), expect.stringContaining('insecure_key')],
    });
    expect(changes(site.log)).toEqual([]);
    await stat(keyFile);
    await push(site.pushInput({ acceptInsecure: true }));
    expect(site.warnings.join('\n')).toContain('a forged attestation token was believed');
    await gone(keyFile);
  });

  test('refuses a KBS that anybody may administer', async () => {
    await using site = await adminSite({ era, insecureApi: true });
    const { keyFile } = await site.build(1);
    await expect(push(site.pushInput())).rejects.toMatchObject({
      details: [expect.stringContaining('from anybody'), expect.anything()],
    });
    expect(changes(site.log)).toEqual([]);
    await stat(keyFile);
  });

  test('a wrong credential: nothing is stored, and the file stays', async () => {
    await using site = await adminSite({ era });
    await using other = await adminSite({ era });
    const { keyFile } = await site.build(1);
    site.credential = other.credential;
    await expect(push(site.pushInput())).rejects.toMatchObject({
      details: [expect.stringContaining('credential was refused'), expect.anything()],
    });
    expect(changes(site.log)).toEqual([]);
    await stat(keyFile);
  });

  test.each([
    ['a refused key', { kind: '401' }],
    ['a proxy that fails for long', { kind: '500' }],
    ['connections that are always dropped', { kind: 'drop' }],
  ] as const)('%s: the key file stays, and a later push does the rest', async (_, fault) => {
    // Not the check's own request, whose last segment begins with a dot.
    const path = /POST .*\/resource\/keys\/root\/0{11}2/;
    await using site = await adminSite({
      era,
      faults: [{ ...fault, path, first: fault.kind === '401' ? 1 : 3 }],
    });
    const [one, two] = [await site.build(1), await site.build(2)];
    await expect(push(site.pushInput())).rejects.toThrow(/cannot store the key keys\/root\/0+2/);
    await gone(one.keyFile);
    expect(await readFile(two.keyFile, 'utf8')).toBe(two.key);
    expect((await push(site.pushInput())).keys).toEqual([two.image.id]);
    expect((await site.kbs.received.resource(two.image.resourcePath))?.toString()).toBe(two.key);
    await gone(two.keyFile);
  });

  test.each(['drop', 'drop-answer', '500'] as const)('one %s on the way is overcome', async (kind) => {
    const faults = ['/resource-policy', '/resource/keys/root/0', '/reference-value'].map((path) => ({
      kind,
      first: 1,
      path: new RegExp(`POST /kbs/v0${path}`),
    }));
    await using site = await adminSite({ era, faults });
    const { key, image, keyFile } = await site.build(1);
    await push(site.pushInput());
    expect((await site.kbs.received.resource(image.resourcePath))?.toString()).toBe(key);
    await gone(keyFile);
  });

  test('interrupted while the key is on its way: the file stays', async () => {
    const faults = [{ kind: 'slow' as const, milliseconds: 3_000, path: /POST .*\/resource\/keys\/root\/0/ }];
    await using site = await adminSite({ era, faults });
    const { keyFile } = await site.build(1);
    const stop = new AbortController();
    const note = (text: string) => {
      if (text.startsWith('policy')) setTimeout(() => stop.abort(new Error('interrupted')), 200);
    };
    await expect(push(site.pushInput({ signal: stop.signal, note }))).rejects.toThrow('interrupted');
    await stat(keyFile);
  });

  test('ten at once from one directory: the last word has every image', async () => {
    await using site = await adminSite({ era });
    const numbers = Array.from({ length: 10 }, (_, index) => index + 1);
    await Promise.all(
      numbers.map(async (number) => {
        const { image } = await site.build(number);
        await push(site.pushInput({ keyFolders: [join(site.handoff, `cvm_${image.id}`)] }));
      }),
    );
    const policy = await site.kbs.received.policy();
    for (const number of numbers) {
      expect(policy).toContain(imageOf(number).resourcePath);
      expect(await site.kbs.received.resource(imageOf(number).resourcePath)).toBeDefined();
    }
  });

  test("an image's key is taken away for good", async () => {
    await using site = await adminSite({ era });
    const { image, key } = await site.build(1);
    await push(site.pushInput());
    using kbs = site.client();
    const how = await removeKey(kbs, image);
    const left = await site.kbs.received.resource(image.resourcePath);
    if (era === 'main') expect([how, left]).toEqual(['deleted', undefined]);
    else {
      expect(how).toBe('overwritten');
      expect(left?.toString()).toMatch(/^[0-9a-f]{128}$/);
      expect(left?.toString()).not.toBe(key);
    }
    // A key that is not there is left removed; nothing readable takes its place for long.
    expect(await removeKey(kbs, image)).toBe(how);
  });

  test('removal survives a lost answer', async () => {
    const faults = [{ kind: 'drop-answer' as const, first: 1, path: /DELETE/ }];
    await using site = await adminSite({ era, faults });
    const { image, key } = await site.build(1);
    await push(site.pushInput());
    using kbs = site.client();
    await removeKey(kbs, image);
    expect((await site.kbs.received.resource(image.resourcePath))?.toString() ?? '').not.toContain(key);
  });
});

test('a development registry is never pushed, and nobody is contacted', async () => {
  await using site = await adminSite();
  await addImage(site.policyDirectory, imageOf(1, { kind: 'development' }));
  await expect(push(site.pushInput())).rejects.toThrow(/holds development images/);
  expect(site.log).toEqual([]);
});

test('without a registry there is nothing to push', async () => {
  await using site = await adminSite();
  await expect(push(site.pushInput())).rejects.toThrow(/there is no .*cvm-registry.json/);
});

test('a policy that reads back as another stops the push before any key', async () => {
  await using site = await adminSite({ era: 'field' });
  const { keyFile, image } = await site.build(1);
  await push(site.pushInput({ keyFolders: [] }));
  // A stand-in that takes the policy, and shows the one of somebody else.
  await using certificates = await makeCertificates();
  await using server = await ownServer(certificates.server, ({ method, url, body }, response) => {
    const refuse = (variant: string) => {
      const type = `https://github.com/confidential-containers/kbs/errors/${variant}`;
      response.writeHead(401).end(JSON.stringify({ type, detail: '' }));
    };
    const known = server.asked.at(-1)!.authorization === `Bearer ${token}`;
    if (method === 'GET' && url.includes('/resource/')) refuse('TokenVerifierError');
    else if (!known) refuse('AdminAuth');
    else if (method === 'GET') response.end(Buffer.from('package policy').toString('base64url'));
    else if (body.includes('%%%') || url.includes('/.cvm-check')) refuse('PolicyEngine');
    else response.end();
  });
  const token = site.credential.token();
  const credential = { ...site.credential, token: () => token };
  const kbs = { url: server.url, ca: certificates.ca, credential };
  await expect(push(site.pushInput({ kbs }))).rejects.toMatchObject({ id: 'other-policy' });
  expect(server.asked.filter(({ url }) => url.includes(image.resourcePath))).toEqual([]);
  await stat(keyFile);
});

test.each([
  ['64 blanks before it', `${' '.repeat(64)}<html>Request rejected by the gateway</html>`],
  ['4000 lines before it', `${'\n'.repeat(4000)}<html>rejected</html>`],
  ['nothing but 65 blanks', ' '.repeat(65)],
])('a page with %s is no confirmation: the key file stays', async (_, page) => {
  await using site = await adminSite({ era: 'field' });
  const { keyFile, key, image } = await site.build(1);
  // A gateway that passes all on but what stores a key.
  const ca = await readFile(site.kbs.caFile, 'utf8');
  await using certificates = await makeCertificates();
  await using gateway = await ownServer(certificates.server, async (asked, response, message) => {
    if (asked.method === 'POST' && asked.url.includes(image.resourcePath)) {
      response.end(page);
      return;
    }
    const { status, body } = await passOn(site.kbs.url, ca, asked, message.headers.authorization);
    response.writeHead(status).end(body);
  });
  const kbs = { url: gateway.url, ca: certificates.ca, credential: site.credential };
  await expect(push(site.pushInput({ kbs }))).rejects.toMatchObject({ id: 'not-a-kbs' });
  expect(await readFile(keyFile, 'utf8')).toBe(key);
});

describe('several files of one key', () => {
  test('are all removed once the KBS has the key', async () => {
    await using site = await adminSite();
    const { image, key, keyFile } = await site.build(1);
    const second = join(site.folder, 'second', `cvm_${image.id}`);
    await mkdir(second, { recursive: true });
    const others = [join(second, 'disk.key'), join(second, '.disk.key.0123456789ab.tmp')];
    for (const file of others) await writeFile(file, key);
    await push(site.pushInput({ keyFolders: [site.handoff, join(site.folder, 'second')] }));
    expect((await site.kbs.received.resource(image.resourcePath))?.toString()).toBe(key);
    for (const file of [keyFile, ...others]) await gone(file);
    for (const file of others) expect(site.notes.join('\n')).toContain(file);
  });

  test('that differ are all kept, and none is sent', async () => {
    await using site = await adminSite();
    const { image, key, keyFile } = await site.build(1);
    const second = join(site.folder, 'second', `cvm_${image.id}`);
    await mkdir(second, { recursive: true });
    await writeFile(join(second, 'disk.key'), 'ab'.repeat(64));
    const keyFolders = [site.handoff, join(site.folder, 'second')];
    await expect(push(site.pushInput({ keyFolders }))).rejects.toThrow(/holds another key/);
    expect(await site.kbs.received.resource(image.resourcePath)).toBeUndefined();
    expect(await readFile(keyFile, 'utf8')).toBe(key);
    await stat(join(second, 'disk.key'));
  });

  test('what a killed build left alone is named, and neither sent nor removed', async () => {
    await using site = await adminSite();
    const { image, key, keyFile } = await site.build(1);
    const left = join(site.handoff, `cvm_${image.id}`, '.disk.key.0123456789ab.tmp');
    await rename(keyFile, left);
    await push(site.pushInput());
    expect(site.warnings.join('\n')).toContain(`${left} was left by a build that was killed`);
    expect(await site.kbs.received.resource(image.resourcePath)).toBeUndefined();
    expect(await readFile(left, 'utf8')).toBe(key);
  });

  test('what is left of a key that was being destroyed is removed without a warning', async () => {
    await using site = await adminSite();
    const { image, keyFile } = await site.build(1);
    const left = join(site.handoff, `cvm_${image.id}`, '.disk.key.0123456789ab.doomed');
    await rename(keyFile, left);
    await push(site.pushInput());
    expect(site.warnings.join('\n')).not.toContain('disk.key');
    expect(await site.kbs.received.resource(image.resourcePath)).toBeUndefined();
    await expect(stat(left)).rejects.toThrow('ENOENT');
  });
});

test('a key file that was tampered with is not sent', async () => {
  await using site = await adminSite();
  const { keyFile, image } = await site.build(1);
  await writeFile(keyFile, 'x'.repeat(128));
  await expect(push(site.pushInput())).rejects.toThrow(/not 128 lower-case hex digits/);
  expect(await site.kbs.received.resource(image.resourcePath)).toBeUndefined();
});
