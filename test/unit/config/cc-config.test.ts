import { describe, expect, it } from 'vitest';
import { formatProblem, parseCcConfig } from '../../../src/config/index.ts';

const gib = 2 ** 30;
const errorsOf = (text: string) => parseCcConfig(text, 'cc.yml').errors.map(formatProblem);
const warningsOf = (text: string) => parseCcConfig(text, 'cc.yml').warnings.map(formatProblem);
const configOf = (text: string) => {
  const { config, errors } = parseCcConfig(text, 'cc.yml');
  expect(errors).toEqual([]);
  return config!;
};

describe('the guide’s examples', () => {
  const server = `
compute_env: onprem_cvm
cc_cpu_mechanism: amd_sev_snp
role: server

# All drive sizes are in GB
root_drive_size: 45
applog_drive_size: 1
user_config_drive_size: 1
user_data_drive_size: 2
docker_archive: ~/NVFlare/docker/nvflare-site.tar.gz
user_config:
  nvflare: /tmp/startup_kits
allowed_ports:
  - 8002
allowed_out_ports:
  - 443    # HTTPS
  - 8002   # NVFlare
  - 8999   # Trustee KBS
cc_issuers:
  - id: snp_authorizer
    path: nvflare.app_opt.confidential_computing.snp_authorizer.SNPAuthorizer
    token_expiration: 100  # seconds, must be < check_frequency
    args:
      snpguest_binary: "/host/bin/snpguest"
cc_attestation:
  check_frequency: 120  # seconds
  failure_action: stop_job
`;

  it('reads the server’s file without a word', () => {
    expect(parseCcConfig(server, 'cc_server1.yml')).toEqual({
      errors: [],
      warnings: [],
      config: {
        computeEnv: 'onprem_cvm',
        cpuMechanism: 'amd_sev_snp',
        gpuMechanism: undefined,
        role: 'server',
        driveBytes: { root: 45 * gib, applog: gib, userConfig: gib, userData: 2 * gib },
        dockerArchive: '~/NVFlare/docker/nvflare-site.tar.gz',
        userConfig: { nvflare: '/tmp/startup_kits' },
        allowedPorts: [8002],
        allowedOutPorts: [443, 8002, 8999],
        hosts: {},
        issuers: [
          {
            id: 'snp_authorizer',
            path: 'nvflare.app_opt.confidential_computing.snp_authorizer.SNPAuthorizer',
            tokenExpiration: 100,
            args: { snpguest_binary: '/host/bin/snpguest' },
          },
        ],
        checkFrequency: 120,
        cvmImageName: undefined,
        classAllowList: [],
        userConfigEditable: [],
        userDataWritable: false,
        vaultIntegrity: true,
        runtimeAttestation: false,
      },
    });
  });

  it('reads the form in which FLARE dumps the file again', () => {
    const text = `allowed_out_ports: &id001
- 111
- 2049
allowed_ports: *id001
cc_attestation: {check_frequency: 120}
cc_cpu_mechanism: amd_sev_snp
cc_gpu_mechanism: nvidia_cc
cc_issuers:
- id: gpu_authorizer
  path: nvflare.app_opt.confidential_computing.gpu_authorizer.GPUAuthorizer
  token_expiration: 100
class_allow_list: [pt.Net]
compute_env: mock
cvm_image_name: site
docker_archive: /a.tar.gz
hosts_entries:
  server1: 10.176.200.152
host_entries:
  Server1: 10.176.200.152
  kbs.example: 2001:db8::1
role: client
user_config:
  nvflare: /w/prod_00/site-1
`;
    const config = configOf(text);
    expect(warningsOf(text)).toEqual([]);
    expect(config.hosts).toEqual({ server1: '10.176.200.152', 'kbs.example': '2001:db8::1' });
    expect(config.allowedPorts).toEqual([111, 2049]);
    expect(config).toMatchObject({ computeEnv: 'mock', gpuMechanism: 'nvidia_cc', cvmImageName: 'site' });
  });

  it('fills in defaults where only the workload is named', () => {
    const config = configOf('docker_archive: app.tar');
    expect(config.driveBytes).toEqual({ root: 45 * gib, applog: gib, userConfig: gib, userData: gib });
    expect(config).toMatchObject({ vaultIntegrity: true, userDataWritable: false, allowedPorts: [] });
  });
});

describe('errors', () => {
  it('are all reported at once, at their places, with the value and what is allowed', () => {
    const text = `compute_env: onprem_cmv
root_drive_size: 0
applog_drive_size: 1.5
user_data_drive_size: 45GB
allowed_ports: [0, 443]
cc_issuers:
  - {id: a, path: b, token_expiration: 0}
`;
    expect(errorsOf(text)).toEqual([
      'cc.yml:1:1: docker_archive is missing: it must be the path of a file or folder',
      'cc.yml:1:14: compute_env is "onprem_cmv": it must be onprem_cvm or mock; did you mean "onprem_cvm"?',
      'cc.yml:2:18: root_drive_size is 0: it must be a whole number of GB from 1 to 16384',
      'cc.yml:3:20: applog_drive_size is 1.5: it must be a whole number of GB from 1 to 16384',
      'cc.yml:4:23: user_data_drive_size is "45GB": it must be a whole number of GB from 1 to 16384',
      'cc.yml:5:17: allowed_ports[0] is 0: it must be a whole number from 1 to 65535',
      'cc.yml:7:40: cc_issuers[0].token_expiration is 0: it must be a whole number of seconds, at least 1',
    ]);
    expect(parseCcConfig(text, 'cc.yml').config).toBeUndefined();
  });

  it.each([
    ['compute_env: azure_cvm', 'on-premises CVMs only'],
    ['compute_env: azure_confidential_container', 'on-premises CVMs only'],
    ['cc_cpu_mechanism: intel_tdx', 'Intel TDX is not supported yet'],
    ['root_drive_size: "45"', 'write the number without quotes'],
    ['root_drive_size: 16385', 'from 1 to 16384'],
    ['root_drive_size: .inf', 'whole number of GB'],
    ['allowed_ports: 8002', 'a list of ports'],
    ['allowed_out_ports: [65536]', 'from 1 to 65535'],
    ['vault_integrity: yes', 'true or false'],
    ['role: sever', 'did you mean "server"?'],
    ['hosts_entries: {server1: 10.0.0}', 'an IPv4 or IPv6 address'],
    ['hosts_entries: {server1: fe80::1%eth0}', 'an IPv4 or IPv6 address'],
    ['hosts_entries: {server1: 010.0.0.1}', 'an IPv4 or IPv6 address'],
    ['hosts_entries: {server1: "0.0.0.0"}', 'the address of a host'],
    ['hosts_entries: {"a b": 10.0.0.1}', 'the name "a b" in hosts_entries is not allowed'],
    ['hosts_entries: {10.0.0.2: 10.0.0.1}', 'is not allowed'],
    ['hosts_entries: {localhost: 10.0.0.1}', 'belongs to the CVM itself'],
    ['user_config: {"../etc": /x}', 'without ".."'],
    ['user_config: {"a/b": /x}', 'is not allowed'],
    ['user_config: {.: /x}', 'is not allowed'],
    ['user_config: {a..b: /x}', 'is not allowed'],
    ['user_config: {nvflare: }', 'the path of a file or folder'],
    ['user_config: [nvflare]', 'a map of name to folder'],
    ['cc_issuers: [{path: b}]', 'cc_issuers[0].id is missing'],
    ['runtime_attestation: true', 'it needs cc_attestation.check_frequency'],
  ])('refuse %s', (line, message) => {
    const errors = errorsOf(`docker_archive: a\n${line}`);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(message);
    expect(errors[0]).toMatch(/^cc\.yml:2:\d+: /);
  });

  it('name both spellings when they disagree on a host', () => {
    const text = 'docker_archive: a\nhosts_entries: {srv: 10.0.0.1}\nhost_entries: {SRV: 10.0.0.2}';
    expect(errorsOf(text)).toEqual([
      'cc.yml:3:21: host_entries.SRV is "10.0.0.2", but hosts_entries.srv says "10.0.0.1": keep one',
    ]);
  });

  it.each([
    'a\\nb',
    'a\\u0000',
    'a\\x1b[31m',
    'a\\r',
    'a\\u2028b',
    'a\\u202eb',
  ])('refuse the control character in "%s" and never print it', (value) => {
    const errors = errorsOf(`docker_archive: "${value}"`);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('one line without control characters');
    expect(errors[0]).toMatch(/^[\x20-\x7e]+$/);
  });

  it('refuse control characters in names and deep in lists too', () => {
    const text =
      'docker_archive: a\nuser_config: {"a\\tb": /x}\ncc_issuers: [{id: a, path: b, args: {x: ["p\\nq"]}}]';
    expect(errorsOf(text).map((error) => error.split(': ')[0])).toEqual(['cc.yml:2:15', 'cc.yml:3:42']);
  });
});

describe('unknown keys', () => {
  it('are a warning with the nearest name, never a failure', () => {
    const text = `docker_archive: a
root_drive_sise: 3
secret_sauce:
  text: |
    two
    lines
cc_attestation: {check_freqency: 10}
`;
    expect(errorsOf(text)).toEqual([]);
    expect(warningsOf(text)).toEqual([
      'cc.yml:2:1: the key "root_drive_sise" is not known here and is ignored; did you mean "root_drive_size"?',
      'cc.yml:3:1: the key "secret_sauce" is not known here and is ignored',
      'cc.yml:7:18: the key "check_freqency" is not known here and is ignored; did you mean "check_frequency"?',
    ]);
  });

  it('are shown without control characters', () => {
    expect(warningsOf('docker_archive: a\n"x\\e[31m": 1')[0]).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('user_config_editable', () => {
  const head = 'docker_archive: a\nuser_config: {nvflare: /k}\nuser_config_editable:';

  it('is taken with a warning that says what it allows', () => {
    const text = `${head} [nvflare/local/privacy.json, nvflare/startup/start.sh]`;
    expect(configOf(text).userConfigEditable).toEqual([
      'nvflare/local/privacy.json',
      'nvflare/startup/start.sh',
    ]);
    const [plain, code] = warningsOf(text);
    expect(plain).toContain('can then put anything into it');
    expect(code).toContain('can then run code of its own');
  });

  it.each([
    'nvflare',
    'nvflare/',
    '/nvflare/a',
    'nvflare/../b',
    'nvflare/./b',
    'nvflare//b',
    'nvflare/..',
    'nvflare/*.json',
    '../a',
  ])('refuses %s', (file) => {
    expect(errorsOf(`${head} ["${file}"]`)).toHaveLength(1);
    expect(warningsOf(`${head} ["${file}"]`)).toEqual([]);
  });

  it('must lie under a key of user_config', () => {
    expect(errorsOf(`${head} [other/a]`)[0]).toContain(
      'must begin with a key of user_config; they are "nvflare"',
    );
  });

  it.each([
    'resources.json',
    'log_config.json.default',
    'custom/a.py',
    'x__p_resources.json',
  ])('calls nvflare/local/%s a way to run code', (file) => {
    expect(warningsOf(`${head} [nvflare/local/${file}]`)[0]).toContain('run code');
  });
});

describe('settings left empty', () => {
  it('count as not given', () => {
    const text = 'docker_archive: a\nhosts_entries:\nallowed_ports:\ncc_attestation:\n  check_frequency:\n';
    expect(configOf(text)).toMatchObject({ hosts: {}, allowedPorts: [], checkFrequency: undefined });
  });

  it('are missing where they are needed', () => {
    expect(errorsOf('role: client\ndocker_archive:\n')[0]).toMatch(
      /^cc\.yml:\d:1: docker_archive is missing/,
    );
  });
});

it('takes each port once, in the file’s order', () => {
  expect(configOf('docker_archive: a\nallowed_ports: [8002, 443, 8002]').allowedPorts).toEqual([8002, 443]);
});
