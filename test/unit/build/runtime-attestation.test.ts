import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/build/identity.ts';
import type { KeyBroker } from '../../../src/build/key-broker.ts';
import { runtimeAttestation } from '../../../src/build/runtime-attestation.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';

const identity = { id: '0123456789ab', resource: 'keys/root/0123456789ab' } as Identity;
const kbsClient = { name: 'kbs-client', file: '/binaries/kbs-client', sha256: 'ab'.repeat(32) };
const snpguest = { name: 'snpguest', file: '/binaries/snpguest', sha256: 'cd'.repeat(32) };
const brokers: Record<'production' | 'development', KeyBroker> = {
  production: {
    url: 'https://kbs.example.org:8999',
    ca: 'PEM',
    client: { kind: 'production', programs: [kbsClient, snpguest] },
    snpguest: snpguest.file,
  },
  development: {
    url: 'https://10.0.2.100:8999',
    ca: 'PEM',
    client: { kind: 'development' },
    snpguest: undefined,
  },
};

function attestation(kind: 'production' | 'development', site: { on?: boolean; frequency?: number }) {
  const settings = {
    kind,
    site: { runtimeAttestation: site.on ?? true, checkFrequency: site.frequency },
  } as BuildSettings;
  return runtimeAttestation(settings, { identity, broker: brokers[kind] });
}

describe('runtimeAttestation', () => {
  it('is off unless the site asks for it', () => {
    expect(attestation('production', { on: false, frequency: 120 })).toBeUndefined();
  });

  it('takes the client, address, certificate and key path that the boot has', () => {
    expect(attestation('production', { frequency: 120 })).toMatchObject({
      client: '/binaries/kbs-client',
      kbsUrl: 'https://kbs.example.org:8999',
      kbsPath: 'keys/root/0123456789ab',
      kbsCa: 'PEM',
      frequency: 120,
    });
    expect(attestation('development', { frequency: 120 })?.client).toMatch(/kbs-sample-client$/);
  });

  it.each([
    ['production', 1, 3600],
    ['production', 120, 3600],
    ['production', 600, 6000],
    ['development', 5, 50],
  ] as const)('in a %s bundle, asking every %d s, allows for %d s of silence', (kind, frequency, silence) => {
    expect(attestation(kind, { frequency })?.silence).toBe(silence);
  });

  it('has the sample client in no production bundle', () => {
    expect(JSON.stringify(attestation('production', { frequency: 120 }))).not.toContain('sample');
  });
});
