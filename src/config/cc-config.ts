import { ccConfigRules } from './cc-config-rules.ts';
import { type CcConfigValues, ccConfigSchema } from './cc-config-schema.ts';
import { check, type Rule } from './check.ts';
import type { Problem } from './problem.ts';
import { bytesPerGb } from './values.ts';

/** One token issuer of `cc_issuers`. */
export interface CcIssuer {
  id: string;
  /** Python class. */
  path: string;
  /** Seconds. */
  tokenExpiration: number | undefined;
  args: Readonly<Record<string, unknown>>;
}

/** A site's settings, checked, with every default filled in. Paths are as written: see `resolvePath`. */
export interface CcConfig {
  computeEnv: 'onprem_cvm' | 'mock';
  cpuMechanism: 'amd_sev_snp';
  gpuMechanism: 'nvidia_cc' | undefined;
  role: 'server' | 'client' | undefined;
  /** Virtual sizes of the drives in bytes; the file's GB are 2^30 bytes. */
  driveBytes: { root: number; applog: number; userConfig: number; userData: number };
  dockerArchive: string;
  /** Folder on the build machine by name below /user_config. */
  userConfig: Readonly<Record<string, string>>;
  /** Each port once, in the file's order. */
  allowedPorts: readonly number[];
  allowedOutPorts: readonly number[];
  /** Address by host name in lower case, of both spellings of the key. */
  hosts: Readonly<Record<string, string>>;
  issuers: readonly CcIssuer[];
  /** Seconds between attestation checks. */
  checkFrequency: number | undefined;
  cvmImageName: string | undefined;
  classAllowList: readonly string[];
  /** `<user_config key>/<path>` of files that are not sealed. */
  userConfigEditable: readonly string[];
  userDataWritable: boolean;
  vaultIntegrity: boolean;
  runtimeAttestation: boolean;
}

/**
 * Reads a site's cc_config.
 * @param text the file's content
 * @param file its name in messages
 * @param more rules besides those that the text alone decides
 * @returns `config` exactly when there are no errors; errors and warnings are complete and in reading order
 */
export function parseCcConfig(
  text: string,
  file: string,
  more: readonly Rule[] = [],
): { config?: CcConfig; errors: Problem[]; warnings: Problem[] } {
  const { values, errors, warnings } = check(text, file, ccConfigSchema, [...ccConfigRules, ...more]);
  return { ...(values === undefined ? {} : { config: normalised(values) }), errors, warnings };
}

const once = <T>(list: readonly T[]): T[] => [...new Set(list)];

function normalised(values: CcConfigValues): CcConfig {
  const hosts = { ...values.hosts_entries, ...values.host_entries };
  return {
    computeEnv: values.compute_env,
    cpuMechanism: values.cc_cpu_mechanism,
    gpuMechanism: values.cc_gpu_mechanism,
    role: values.role,
    driveBytes: {
      root: values.root_drive_size * bytesPerGb,
      applog: values.applog_drive_size * bytesPerGb,
      userConfig: values.user_config_drive_size * bytesPerGb,
      userData: values.user_data_drive_size * bytesPerGb,
    },
    dockerArchive: values.docker_archive,
    userConfig: values.user_config,
    allowedPorts: once(values.allowed_ports),
    allowedOutPorts: once(values.allowed_out_ports),
    hosts: Object.fromEntries(Object.entries(hosts).map(([name, address]) => [name.toLowerCase(), address])),
    issuers: values.cc_issuers.map(({ id, path, token_expiration, args }) => ({
      id,
      path,
      tokenExpiration: token_expiration,
      args: args ?? {},
    })),
    checkFrequency: values.cc_attestation.check_frequency,
    cvmImageName: values.cvm_image_name,
    classAllowList: values.class_allow_list,
    userConfigEditable: once(values.user_config_editable),
    userDataWritable: values.user_data_writable,
    vaultIntegrity: values.vault_integrity,
    runtimeAttestation: values.runtime_attestation,
  };
}
