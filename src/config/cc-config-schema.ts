import { z } from 'zod';
import { described } from './guidance.ts';
import { driveSize, flag, hosts, path, ports, seconds } from './values.ts';

const text = (description: string) =>
  described(z.string().min(1).max(1024), description, 'text that is not empty');

const onPremisesOnly = 'this builder makes on-premises CVMs only: use onprem_cvm';

const userConfigName = described(
  z.string().regex(/^(?!\.)(?!.*\.\.)[A-Za-z0-9._-]{1,64}$/),
  'The folder name below /user_config.',
  'letters, digits, ".", "_" and "-", not starting with "." and without ".."',
);

/** A path below /user_config in its one normal form, so that it can be compared as text. */
export const editablePath = described(
  z.string().regex(/^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[^/*?[\]\\]+(?:\/[^/*?[\]\\]+)+$/),
  'One file, as <user_config key>/<path in its folder>.',
  'one file as <user_config key>/<path>, for example nvflare/local/privacy.json, without "..", "//" or patterns',
);

const issuer = described(
  z.object({
    id: text('Name of the authorizer.'),
    path: text('Python class of the authorizer.'),
    token_expiration: seconds(
      'How long a token holds, in seconds. Must be less than check_frequency.',
    ).optional(),
    args: described(
      z.record(z.string(), z.unknown()),
      'Arguments of the authorizer; FLARE alone reads them.',
      'a map',
    ).optional(),
  }),
  'One token issuer.',
  'a map with id, path and token_expiration',
);

/** FLARE's keys, as its configuration reference names them. */
const flareKeys = {
  compute_env: described(
    z.enum(['onprem_cvm', 'mock']),
    'Where the CVM runs. FLARE builds `mock` in the same way as `onprem_cvm`.',
    'onprem_cvm or mock',
    { azure_cvm: onPremisesOnly, azure_confidential_container: onPremisesOnly },
  ).default('onprem_cvm'),
  cc_cpu_mechanism: described(
    z.enum(['amd_sev_snp']),
    "The CPU's confidential-computing mechanism.",
    'amd_sev_snp',
    { intel_tdx: 'Intel TDX is not supported yet: use amd_sev_snp' },
  ).default('amd_sev_snp'),
  cc_gpu_mechanism: described(
    z.enum(['nvidia_cc']),
    "The GPU's confidential-computing mechanism, where there is a GPU.",
    'nvidia_cc, or left out',
  ).optional(),
  role: described(
    z.enum(['server', 'client']),
    'What this participant is in the federation.',
    'server or client',
  ).optional(),
  root_drive_size: driveSize('the encrypted root drive').default(45),
  applog_drive_size: driveSize('the drive for logs').default(1),
  user_config_drive_size: driveSize('the drive for user_config').default(1),
  user_data_drive_size: driveSize('the drive for user data').default(1),
  docker_archive: path("The workload: a Docker image archive made with 'docker save', plain, gzip or zstd."),
  user_config: described(
    z.record(userConfigName, path('A folder on this machine.')),
    'Folders that the container finds under /user_config/<key>.',
    'a map of name to folder, for example "nvflare: /tmp/startup_kits"',
  ).default({}),
  allowed_ports: ports('Inbound ports that the firewall lets through; all others are closed.').default([]),
  allowed_out_ports: ports('Outbound ports that the firewall lets through; all others are closed.').default(
    [],
  ),
  hosts_entries: hosts('Names for /etc/hosts of the CVM, for hosts that DNS does not know.').default({}),
  host_entries: hosts('The same as hosts_entries; guides use both spellings.').default({}),
  cc_issuers: described(
    z.array(issuer),
    'Issuers of attestation tokens.',
    'a list of maps with id and path',
  ).default([]),
  cc_attestation: described(
    z.object({
      check_frequency: seconds('Seconds between two attestation checks.').optional(),
      failure_action: text('What FLARE does when a check fails; FLARE alone reads it.').optional(),
    }),
    'How the running system is checked.',
    'a map with check_frequency',
  ).default({}),
  cvm_image_name: text('A name for the image; FLARE alone reads it.').optional(),
  class_allow_list: described(
    z.array(text('A Python class.')),
    'Classes that FLARE may load; FLARE alone reads it.',
    'a list of class paths',
  ).default([]),
};

/** What this builder adds. Every default is the safe choice. */
const ownKeys = {
  user_config_editable: described(
    z.array(editablePath),
    'Single files below user_config that the site may change after the build. Everything else there is sealed.',
    'a list of paths, for example [nvflare/local/privacy.json]',
  ).default([]),
  user_data_writable: flag('Whether the workload may write to the user_data drive.').default(false),
  vault_integrity: flag(
    'Whether /vault is authenticated, so that the host cannot alter it unnoticed. Costs write speed.',
  ).default(true),
  runtime_attestation: flag(
    'Whether the running CVM attests again at every check_frequency and stops when it is refused.',
  ).default(false),
};

/** The schema of cc_config. Unknown keys pass: FLARE owns the file and may add its own. */
export const ccConfigSchema = z
  .object({ ...flareKeys, ...ownKeys })
  .describe("Settings of one site's confidential VM (FLARE's cc_config).");

/** The file's values once checked, under the file's own names. */
export type CcConfigValues = z.output<typeof ccConfigSchema>;
