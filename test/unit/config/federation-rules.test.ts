import { describe, expect, it } from 'vitest';
import { federationRules, formatProblem, type KitFacts, parseCcConfig } from '../../../src/config/index.ts';

const base = 'nvflare.app_opt.confidential_computing';
const server = { role: 'server', server: 'server1', ports: [8002] } as const satisfies KitFacts;
const client = { ...server, role: 'client' } as const;

/** What a file with these lines, checked with a kit, gives; errors are none of this rule's business. */
function warningsOf(kit: KitFacts | undefined, ...lines: string[]): string[] {
  const text = ['docker_archive: a', ...lines].join('\n');
  const { errors, warnings } = parseCcConfig(text, 'cc.yml', federationRules(kit));
  expect(errors).toEqual([]);
  return warnings.map(formatProblem);
}

describe('a server', () => {
  it('whose port is open gives no warning', () => {
    expect(warningsOf(server, 'role: server', 'allowed_ports: [8002]')).toEqual([]);
    expect(warningsOf({ ...server, ports: [9443] }, 'allowed_ports: [9443]')).toEqual([]);
  });

  it('whose port is closed is told that no client will reach it', () => {
    expect(warningsOf(server, 'role: server', 'allowed_ports: [443]')).toEqual([
      'cc.yml:3:16: allowed_ports lacks 8002, where the server of the startup kit listens: the server will start in its CVM, and no client will reach it',
    ]);
  });

  it('is known by its kit where the file names no role, and told at the file’s start where it names no ports', () => {
    expect(warningsOf({ ...server, ports: [9443] }, 'allowed_out_ports: [9443]')).toEqual([
      expect.stringMatching(/^cc\.yml:1:1: allowed_ports lacks 9443, /),
    ]);
  });

  it('with an admin port of its own needs that one as well', () => {
    const two = { ...server, ports: [8002, 8003] };
    expect(warningsOf(two, 'allowed_ports: [8002, 8003]')).toEqual([]);
    expect(warningsOf(two, 'allowed_ports: [8002]')).toEqual([
      expect.stringMatching(
        /: allowed_ports lacks 8003, the admin port .*: no admin console will reach the server$/,
      ),
    ]);
  });

  it('without a kit is held against the port that FLARE takes by itself', () => {
    expect(warningsOf(undefined, 'role: server', 'allowed_ports: [8002]')).toEqual([]);
    expect(warningsOf(undefined, 'role: server')).toEqual([
      expect.stringContaining("allowed_ports lacks 8002, FLARE's port unless project.yml names another: "),
    ]);
  });
});

describe('a client', () => {
  it('that may connect to its server gives no warning, whatever it accepts', () => {
    expect(warningsOf(client, 'role: client', 'allowed_out_ports: [8002]')).toEqual([]);
  });

  it('that may not is told that it will never reach it', () => {
    const message =
      'allowed_out_ports lacks 8002, the port of server1 in the startup kit: the client will start in its CVM and never reach the server';
    // An open port in the wrong direction is no help.
    expect(warningsOf(client, 'role: client', 'allowed_ports: [8002]')).toEqual([`cc.yml:1:1: ${message}`]);
    expect(warningsOf(client, 'role: client', 'allowed_out_ports: [443, 8003]')).toEqual([
      `cc.yml:3:20: ${message}`,
    ]);
  });

  it('gets no warning about the key broker’s port, which is open in any case', () => {
    expect(warningsOf(client, 'allowed_out_ports: [8002]').join()).not.toMatch(/8999|KBS|key broker/);
  });
});

it('a role that is not that of the kit is told; the kit decides what is checked', () => {
  expect(warningsOf(server, 'role: client', 'allowed_ports: [8002]')).toEqual([
    'cc.yml:2:7: role is "client", but the startup kit is that of a server: the CVM will run as the server',
  ]);
});

it('a workload that is neither server nor client gets no warning', () => {
  expect(warningsOf(undefined)).toEqual([]);
});

describe('authorizers', () => {
  const issuer = (path: string, args = '{}') =>
    `cc_issuers: [{id: a, path: ${base}.${path}, token_expiration: 100, args: ${args}}]`;
  const gpu = 'cc_gpu_mechanism: nvidia_cc';
  const snp = issuer('snp_authorizer.SNPAuthorizer');

  it('that reach their services give no warning', () => {
    expect(warningsOf(undefined, snp, 'allowed_out_ports: [443]')).toEqual([]);
    expect(
      warningsOf(undefined, gpu, issuer('gpu_authorizer.GPUAuthorizer'), 'allowed_out_ports: [443]'),
    ).toEqual([]);
    expect(warningsOf(undefined, issuer('mock_authorizer.MockAuthorizer'))).toEqual([]);
  });

  it('that do not are told what for, and that the first check fails', () => {
    expect(warningsOf(undefined, snp)).toEqual([
      expect.stringMatching(
        /lacks 443, at which SNPAuthorizer fetches AMD's certificates: .* the first check .* fails/,
      ),
    ]);
    expect(warningsOf(undefined, gpu, issuer('gpu_authorizer.GPUAuthorizer'))).toEqual([
      expect.stringMatching(
        /lacks 443, at which GPUAuthorizer has NVIDIA's service judge the GPU: .* check .* fails/,
      ),
    ]);
  });

  it('with a service of their own may use any port', () => {
    const own = issuer('gpu_authorizer.GPUAuthorizer', '{verifier_url: "https://nras.example.org:8443/"}');
    expect(warningsOf(undefined, gpu, own)).toEqual([]);
  });
});

describe('tokens', () => {
  const expiring = (seconds: number, ...more: string[]) =>
    warningsOf(undefined, `cc_issuers: [{id: a, path: b, token_expiration: ${seconds}}]`, ...more);

  it('that expire before the next check give no warning', () => {
    expect(expiring(119, 'cc_attestation: {check_frequency: 120}')).toEqual([]);
    expect(expiring(599)).toEqual([]);
  });

  it.each([
    120, 121,
  ])('that hold for %d s where checks are 120 s apart are told to fail the second', (seconds) => {
    expect(expiring(seconds, 'cc_attestation: {check_frequency: 120}')).toEqual([
      `cc.yml:2:49: cc_issuers[0].token_expiration is ${seconds}: it must be less than check_frequency, which is 120; a FLARE that keeps a token until it expires fails its second check, 120 s after the first, and shuts down`,
    ]);
  });

  it('are held against FLARE’s own frequency where the file has none', () => {
    expect(expiring(600)).toEqual([
      expect.stringContaining("it must be less than FLARE's default check_frequency, which is 600; "),
    ]);
  });
});
