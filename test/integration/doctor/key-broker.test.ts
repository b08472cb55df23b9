import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeCertificates } from '../../../src/doctor/key-broker.ts';
import { type Certificates, makeCertificates, ownServer } from '../kbs/client-servers.ts';
import { fixture } from '../kbs/development-kbs.ts';
import { checkOf, Doctor } from './doctor.ts';

let certificates: Certificates;
let doctor: Doctor;
beforeAll(async () => {
  certificates = await makeCertificates();
  doctor = await Doctor.make();
});
afterAll(async () => {
  await certificates[Symbol.asyncDispose]();
  await doctor[Symbol.asyncDispose]();
});

/** The checks of a key broker. apt is not asked: its sources are none of this. */
async function look(url: string, ca: string, ...more: string[]) {
  await doctor.program('apt-get', [
    'case "$1" in --version) echo "apt 2.6.1 (amd64)" ;; *) exit 100 ;; esac',
  ]);
  const caFile = join(doctor.folder, 'ca.crt');
  await writeFile(caFile, ca);
  const file = await doctor.builderFile('kbs:', `  url: ${url}`, `  ca: ${caFile}`, ...more);
  const report = await doctor.report(doctor.command('--json', '--config', file));
  return {
    status: report.status,
    reach: checkOf(report, 'key-broker.reach'),
    certificate: checkOf(report, 'key-broker.certificate'),
    credential: checkOf(report, 'key-broker.credential'),
  };
}

describe('a key broker', () => {
  it('under the pinned certificate is ok; it is asked once, and gets no credential', async () => {
    await using site = await fixture({ era: 'main' });
    const before = site.log.length;
    const ca = await readFile(join(site.stateDirectory, 'ca.crt'), 'utf8');
    const { reach, certificate } = await look(site.kbs.url, ca);
    expect([certificate.status, reach.facts.failure]).toEqual(['ok', undefined]);
    // The development broker's own certificate is made for 30 days, so it is about to end.
    expect(reach).toMatchObject({ status: 'warning', says: expect.stringContaining('29 days from now') });
    expect(reach.facts.certificateEnds).toMatch(/^\d{4}-/);
    expect(site.log.slice(before)).toEqual([expect.stringMatching(/GET .*\/resource\//)]);
  });

  it('under a certificate of somebody else is a problem', async () => {
    await using server = await ownServer(certificates.server, () => expect.fail('a request was sent'));
    const { reach, status } = await look(server.url, certificates.strangersCa);
    expect(reach).toMatchObject({ status: 'problem', facts: { failure: 'wrong-ca' } });
    expect(reach.hint).toMatch(/kbs\.ca/);
    expect(status).toBe(1);
  });

  it('with an expired certificate is a problem', async () => {
    await using server = await ownServer(certificates.expired, () => expect.fail('a request was sent'));
    const { reach } = await look(server.url, certificates.ca);
    expect(reach).toMatchObject({ status: 'problem', facts: { failure: 'expired-certificate' } });
  });

  it('under another name is a problem', async () => {
    await using server = await ownServer(certificates.server, () => expect.fail('a request was sent'));
    const { reach } = await look(`https://127.0.0.2:${server.port}`, certificates.ca);
    expect(reach).toMatchObject({ status: 'problem', facts: { failure: 'wrong-name' } });
  });

  it('that is down is a warning, and a problem where builds push to it', async () => {
    const down = 'https://127.0.0.1:1';
    const { reach, credential } = await look(down, certificates.ca);
    expect(reach).toMatchObject({ status: 'warning', facts: { failure: 'refused' } });
    expect(credential.status).toBe('info');
    const pushing = await look(down, certificates.ca, '  push: script');
    expect(pushing.reach.status).toBe('problem');
  });

  it('that never answers is given up in seconds', async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const begin = Date.now();
    const { reach } = await look(`https://127.0.0.1:${port}`, certificates.ca);
    expect(reach).toMatchObject({ status: 'warning', facts: { failure: 'timeout' } });
    expect(Date.now() - begin).toBeLessThan(60_000);
    server.close();
  });

  it('that is none is a problem', async () => {
    await using server = await ownServer(certificates.server, (_, response) => response.end('welcome'));
    expect((await look(server.url, certificates.ca)).reach).toMatchObject({
      status: 'problem',
      says: expect.stringContaining('not the answer of a KBS'),
    });
  });

  it("whose administrator's key is no key is a problem that does not show the file", async () => {
    const key = join(doctor.folder, 'private.key');
    await writeFile(key, 'correct horse battery staple', { mode: 0o600 });
    const { credential } = await look('https://127.0.0.1:1', certificates.ca, `  admin_key: ${key}`);
    expect(credential.status).toBe('problem');
    expect(JSON.stringify(credential)).not.toContain('battery');
  });
});

describe('the pinned certificate', () => {
  const at = (time: string) =>
    judgeCertificates(certificates.expired.cert.toString(), 'ca.crt', Date.parse(time));

  // Valid from 2024-01-01 to 2024-02-01.
  it.each([
    ['2023-12-31T00:00:00Z', 'problem', /not valid before 2024-01-01/],
    ['2024-01-01T12:00:00Z', 'ok', /valid until 2024-02-01/],
    ['2024-01-10T00:00:00Z', 'warning', /until 2024-02-01, 22 days/],
    ['2024-02-02T00:00:00Z', 'problem', /expired on 2024-02-01/],
  ])('at %s is %s', (time, status, says) => {
    expect(at(time).status).toBe(status);
    expect(at(time).says).toMatch(says);
  });

  it('that ends first counts, of several', () => {
    const both = certificates.ca + certificates.expired.cert.toString();
    expect(judgeCertificates(both, 'ca.crt', Date.parse('2026-01-01')).status).toBe('problem');
  });

  it('that cannot be read is a problem', () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    expect(judgeCertificates(broken, 'ca.crt', 0).status).toBe('problem');
  });
});
