import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findKeyBroker } from '../../../src/build/key-broker.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';
import { defaultBuilderConfig } from '../../../src/config/index.ts';

const certificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const url = 'https://kbs.example.org:8999';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'broker-test-'));
  await mkdir(join(folder, 'binaries'));
});
afterEach(() => rm(folder, { recursive: true }));

const put = async (name: string, text: string) => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};

/** A production build with this much of the key broker known. */
function find(kbs: Partial<BuildSettings['builder']['kbs']> = { url }) {
  const builder = defaultBuilderConfig();
  const settings = {
    kind: 'production',
    binaries: join(folder, 'binaries'),
    builder: { ...builder, kbs: { ...builder.kbs, ...kbs } },
  } as BuildSettings;
  return findKeyBroker(settings);
}

const refusal = (cause: string | RegExp) => ({
  name: 'UserError',
  status: 2,
  message: expect.stringMatching(cause),
  hint: expect.stringContaining('--dev'),
});

describe('findKeyBroker for a production bundle', () => {
  it('needs the address', async () => {
    await put('binaries/kbs-client', 'x');
    await put('binaries/rootCA.crt', certificate);
    await expect(find({})).rejects.toMatchObject(refusal('it does not know the key broker'));
  });

  it('needs a kbs-client', async () => {
    await put('binaries/rootCA.crt', certificate);
    await expect(find()).rejects.toMatchObject(refusal('binaries/kbs-client is missing'));
  });

  it('needs the certificate', async () => {
    await put('binaries/kbs-client', 'x');
    await expect(find()).rejects.toMatchObject(refusal("the key broker's certificate is missing"));
    await expect(find({ url, ca: join(folder, 'absent.pem') })).rejects.toMatchObject(
      refusal(/kbs\.ca: there is no .*absent\.pem/),
    );
  });

  it.each([
    'PRIVATE KEY',
    'EC PRIVATE KEY',
    'RSA PRIVATE KEY',
    'ENCRYPTED PRIVATE KEY',
    'OPENSSH PRIVATE KEY',
  ])('refuses a certificate file that also holds a %s: it would go to the host', async (kind) => {
    await put('binaries/kbs-client', 'x');
    await put('binaries/rootCA.crt', `${certificate}-----BEGIN ${kind}-----\nMIIB\n-----END ${kind}-----\n`);
    await expect(find()).rejects.toMatchObject(refusal('holds a private key'));
  });

  it('refuses a file without a certificate', async () => {
    await put('binaries/kbs-client', 'x');
    await put('binaries/rootCA.crt', 'DER, or nothing');
    await expect(find()).rejects.toMatchObject(refusal('holds no PEM certificate'));
  });

  it('gives address, certificate and client with its digest', async () => {
    const file = await put('binaries/kbs-client', 'the client');
    await put('binaries/rootCA.crt', certificate);
    expect(await find()).toEqual({
      url,
      ca: certificate,
      client: {
        kind: 'production',
        programs: [
          { name: 'kbs-client', file, sha256: createHash('sha256').update('the client').digest('hex') },
        ],
      },
      snpguest: undefined,
    });
  });

  it('takes the certificate that builder.yml names before the one in binaries/', async () => {
    await put('binaries/kbs-client', 'x');
    await put('binaries/rootCA.crt', 'something else');
    const ca = await put('kbs.pem', certificate);
    expect((await find({ url, ca })).ca).toBe(certificate);
  });

  it('takes snpguest along where it is there', async () => {
    await put('binaries/kbs-client', 'x');
    await put('binaries/rootCA.crt', certificate);
    const snpguest = await put('binaries/snpguest', 'y');
    const found = await find();
    expect(found.snpguest).toBe(snpguest);
    expect(found.client.kind === 'production' && found.client.programs.map(({ name }) => name)).toEqual([
      'kbs-client',
      'snpguest',
    ]);
  });
});
