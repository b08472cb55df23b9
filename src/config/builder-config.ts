import { builderRules } from './builder-rules.ts';
import { type BuilderValues, builderSchema } from './builder-schema.ts';
import { check } from './check.ts';
import type { Problem } from './problem.ts';

/** An administrator's settings, checked, with every default filled in. Paths are as written: see `resolvePath`. */
export interface BuilderConfig {
  kbs: {
    /** Without a slash at the end. */
    url: string | undefined;
    /** PEM file. */
    ca: string | undefined;
    /** Files; at most one of the two is given. */
    adminKey: string | undefined;
    adminToken: string | undefined;
    /** Claims of tokens made with the key. */
    adminIssuer: string;
    adminRole: string;
    /** `<repository>/<type>`. */
    resourcePrefix: string;
    push: 'auto' | 'never' | 'script';
    acceptInsecure: boolean;
  };
  policyDirectory: string | undefined;
  /** Path of Open Policy Agent. */
  opa: string | undefined;
  /** Lowest versions, 0 to 255, of what the host's report must claim. */
  minTcb: {
    bootloader: number | undefined;
    tee: number | undefined;
    snp: number | undefined;
    microcode: number | undefined;
  };
  base: {
    image: string | undefined;
    suite: string | undefined;
    /** Lists of packages beside the core. */
    with: readonly ('nfs' | 'gpu')[];
    /** Addresses of archives. */
    mirror: string | undefined;
    securityMirror: string | undefined;
    kernel: string | undefined;
  };
  machine: {
    cpu: string;
    /** Ascending, each once. */
    vcpus: readonly number[];
    memoryGib: number;
    /** SEV_FEATURES, bit 0 set. */
    guestFeatures: number;
  };
  /** `<user_config key>/<path>` of files, and with a slash at the end of folders, that lie on the plain drive. Each once. */
  userConfigPlain: readonly string[];
  output: string | undefined;
  cache: string | undefined;
  /** Lower-case hex. */
  acceptFirmware: readonly string[];
}

/**
 * Reads builder.yml.
 * @returns `config` exactly when there are no errors; errors and warnings are complete and in reading order
 */
export function parseBuilderConfig(
  text: string,
  file: string,
): { config?: BuilderConfig; errors: Problem[]; warnings: Problem[] } {
  const { values, errors, warnings } = check(text, file, builderSchema, builderRules);
  return { ...(values === undefined ? {} : { config: normalised(values) }), errors, warnings };
}

/** What holds where there is no builder.yml. */
export function defaultBuilderConfig(): BuilderConfig {
  return normalised(builderSchema.parse({}));
}

function normalised(values: BuilderValues): BuilderConfig {
  const { kbs, min_tcb, base, machine } = values;
  return {
    kbs: {
      url: kbs.url?.replace(/\/+$/, ''),
      ca: kbs.ca,
      adminKey: kbs.admin_key,
      adminToken: kbs.admin_token,
      adminIssuer: kbs.admin_issuer,
      adminRole: kbs.admin_role,
      resourcePrefix: kbs.resource_prefix,
      push: kbs.push,
      acceptInsecure: kbs.accept_insecure,
    },
    policyDirectory: values.policy_directory,
    opa: values.opa,
    minTcb: {
      bootloader: min_tcb.bootloader,
      tee: min_tcb.tee,
      snp: min_tcb.snp,
      microcode: min_tcb.microcode,
    },
    base: {
      image: base.image,
      suite: base.suite,
      with: [...new Set(base.with)].sort(),
      mirror: base.mirror,
      securityMirror: base.security_mirror,
      kernel: base.kernel,
    },
    machine: {
      cpu: machine.cpu,
      vcpus: [...new Set(machine.vcpus)].sort((a, b) => a - b),
      memoryGib: machine.memory,
      guestFeatures: Number(machine.guest_features),
    },
    userConfigPlain: [...new Set(values.user_config_plain)],
    output: values.output,
    cache: values.cache,
    acceptFirmware: [...new Set(values.accept_firmware.map((digest) => digest.toLowerCase()))],
  };
}
