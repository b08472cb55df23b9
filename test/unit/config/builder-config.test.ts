import { describe, expect, it } from 'vitest';
import { defaultBuilderConfig, formatProblem, parseBuilderConfig } from '../../../src/config/index.ts';

const errorsOf = (text: string) => parseBuilderConfig(text, 'b.yml').errors.map(formatProblem);
const warningsOf = (text: string) => parseBuilderConfig(text, 'b.yml').warnings.map(formatProblem);

describe('builder.yml', () => {
  it('reads every key', () => {
    const digest = 'AB'.repeat(32);
    const text = `
kbs:
  url: https://kbs.example.org:8999/
  ca: binaries/rootCA.crt
  admin_key: binaries/private.key
  resource_prefix: flare/sites.v1
  admin_issuer: builder
  admin_role: pusher
  push: script
  accept_insecure: true
policy_directory: /shared/policy
opa: binaries/opa
min_tcb: {bootloader: 4, tee: 0, snp: 22, microcode: 213}
base:
  {suite: bookworm, with: [nfs, gpu, nfs], mirror: 'http://a.example/debian', security_mirror: 'https://a.example/s', kernel: linux-image-cloud-amd64}
machine: {cpu: EPYC-Milan-v2, vcpus: [8, 4, 8], memory: 64, guest_features: 0x21}
user_config_plain: [data/, data/, data/labels/classes.txt, nvflare/local/notes.txt]
output: target
cache: ~/cache
accept_firmware: [${digest}]
`;
    expect(parseBuilderConfig(text, 'b.yml')).toEqual({
      errors: [],
      warnings: [],
      config: {
        kbs: {
          url: 'https://kbs.example.org:8999',
          ca: 'binaries/rootCA.crt',
          adminKey: 'binaries/private.key',
          adminToken: undefined,
          adminIssuer: 'builder',
          adminRole: 'pusher',
          resourcePrefix: 'flare/sites.v1',
          push: 'script',
          acceptInsecure: true,
        },
        policyDirectory: '/shared/policy',
        opa: 'binaries/opa',
        minTcb: { bootloader: 4, tee: 0, snp: 22, microcode: 213 },
        base: {
          image: undefined,
          suite: 'bookworm',
          with: ['gpu', 'nfs'],
          mirror: 'http://a.example/debian',
          securityMirror: 'https://a.example/s',
          kernel: 'linux-image-cloud-amd64',
        },
        machine: { cpu: 'EPYC-Milan-v2', vcpus: [4, 8], memoryGib: 64, guestFeatures: 0x21 },
        userConfigPlain: ['data/', 'data/labels/classes.txt', 'nvflare/local/notes.txt'],
        output: 'target',
        cache: '~/cache',
        acceptFirmware: [digest.toLowerCase()],
      },
    });
  });

  it('has defaults for all, the same with and without a file', () => {
    const defaults = defaultBuilderConfig();
    expect(defaults.kbs).toMatchObject({
      resourcePrefix: 'keys/root',
      push: 'auto',
      acceptInsecure: false,
      url: undefined,
    });
    expect(defaults.machine).toMatchObject({ cpu: 'EPYC-v4', memoryGib: 8, guestFeatures: 1 });
    expect(parseBuilderConfig('kbs:\nmachine:\n  memory:\nbase: {}\n', 'b.yml').config).toEqual(defaults);
  });

  it.each([
    'EPYC',
    'EPYC-v4',
    'EPYC-IBPB',
    'EPYC-Rome',
    'EPYC-Genoa-v1',
    'EPYC-Turin-v2',
  ])('takes the CPU model %s', (cpu) => {
    expect(errorsOf(`machine: {cpu: ${cpu}}`)).toEqual([]);
  });

  it.each([
    ['machine: {cpu: host}', 'the digest would depend on the machine'],
    ['machine: {cpu: "EPYC-v4,+x"}', "one of QEMU's EPYC models"],
    ['machine: {vcpus: []}', 'a list of whole numbers'],
    ['machine: {vcpus: [0]}', 'from 1 to 512'],
    ['machine: {memory: 0.5}', 'a whole number of GiB'],
    ['machine: {guest_features: 0x2}', 'bit 0 (SNPActive) must be set'],
    ['machine: {guest_features: "0x20"}', 'bit 0 (SNPActive) must be set'],
    ['machine: {guest_features: [1]}', 'a bit field'],
    ['kbs: {url: ftp://kbs}', 'an http or https address'],
    ['kbs: {url: "https://kbs/?a=b"}', 'no "?"'],
    ['kbs: {url: "https://kbs/$(id)"}', 'plain ASCII without quotes'],
    ['kbs: {resource_prefix: keys}', 'two segments'],
    ['kbs: {resource_prefix: keys/root/x}', 'two segments'],
    ['kbs: {resource_prefix: .keys/root}', 'two segments'],
    ['kbs: {resource_prefix: ke ys/root}', 'two segments'],
    ['kbs: {push: atuo}', 'did you mean "auto"?'],
    ['kbs: {push: auto}', 'it needs kbs.url'],
    ['kbs: {admin_key: a, admin_token: b}', 'keep the one'],
    ['min_tcb: {snp: 256}', 'from 0 to 255'],
    ['base: {suite: "-o Evil"}', 'the name of a suite'],
    ['base: {kernel: --purge}', 'a kernel release'],
    ['base: {with: [core]}', 'nfs or gpu'],
    ['base: {mirror: "http://a.example/debian [trusted=yes]"}', 'an http or https address'],
    ['base: {mirror: "http://user:secret@a.example/debian"}', 'an http or https address'],
    ['base: {mirror: "file:///srv/debian"}', 'an http or https address'],
    ['base: {security_mirror: "http://a.example/s"}', 'without base.mirror'],
    ['accept_firmware: [abc]', 'a SHA-256'],
    ['user_config_plain: data/', 'a list of'],
    ['user_config_plain: [data]', 'a folder as <user_config key>/'],
    ['user_config_plain: [/data/x]', 'a folder as <user_config key>/'],
    ['user_config_plain: [data/../x]', 'without ".."'],
    ['user_config_plain: [data//x]', 'without ".."'],
    ['user_config_plain: ["data/*.csv"]', 'or patterns'],
    ['user_config_plain: [nvflare/]', 'folders of a FLARE kit hold keys'],
    ['user_config_plain: [nvflare/local/]', 'name single files'],
  ])('refuses %s', (text, message) => {
    const errors = errorsOf(text);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(message);
  });

  it.each([
    'kbs: {url: "https://admin:hunter2@kbs"}',
    'base: {mirror: "http://bob:hunter2@a.example/debian"}',
  ])('never prints a password in an address: %s', (text) => {
    const errors = errorsOf(text);
    expect(errors).toHaveLength(1);
    expect(errors.join()).not.toContain('hunter2');
  });

  it('warns of an address without encryption, but not on this machine', () => {
    expect(warningsOf('kbs: {url: "http://kbs:8080"}')).toHaveLength(1);
    expect(warningsOf('kbs: {url: "http://127.0.0.1:8080"}')).toEqual([]);
  });

  it('warns of unknown keys and of settings without effect', () => {
    expect(warningsOf('polcy_directory: x\nbase: {image: a, suite: b}')).toEqual([
      'b.yml:1:1: the key "polcy_directory" is not known here and is ignored; did you mean "policy_directory"?',
      'b.yml:2:18: base.suite is ignored: base.image brings its own',
    ]);
  });
});
