import { editablePath } from './cc-config-schema.ts';
import type { Finding, Rule } from './check.ts';
import { attestsGpu } from './gpu.ts';
import { show } from './problem.ts';
import { listOf, mapOf } from './shapes.ts';
import { isAddress } from './values.ts';

/** What FLARE checks at when `cc_attestation` does not say. */
const flareCheckFrequency = 600;

/**
 * FLARE up to 2.6 keeps a token until it expires, and refuses one that it has seen as a replay. Later releases make one for each
 * check, and read the setting without using it.
 */
const tokensExpireBeforeTheNextCheck: Rule = ({ cc_issuers, cc_attestation }) => {
  const given = mapOf(cc_attestation).check_frequency;
  if (given !== undefined && typeof given !== 'number') return [];
  const frequency = given ?? flareCheckFrequency;
  const name = given === undefined ? "FLARE's default check_frequency" : 'check_frequency';
  return listOf(cc_issuers).flatMap((issuer, index) => {
    const expiration = mapOf(issuer).token_expiration;
    if (typeof expiration !== 'number' || expiration < frequency) return [];
    const message = `cc_issuers[${index}].token_expiration is ${expiration}: it must be less than ${name}, which is ${frequency}; a FLARE that keeps a token until it expires fails its second check, ${frequency} s after the first, and shuts down`;
    return [{ path: ['cc_issuers', index, 'token_expiration'], severity: 'warning', message }];
  });
};

/** Names that the guest's own /etc/hosts gives to the loopback address. */
const reservedHost = /^(?:localhost|localhost\.localdomain|ip6-localhost|ip6-loopback)$/;

const hostsAreNotAmbiguous: Rule = (raw) => {
  const known = new Map<string, { address: unknown; key: string }>();
  const findings: Finding[] = [];
  for (const key of ['hosts_entries', 'host_entries']) {
    for (const [name, address] of Object.entries(mapOf(raw[key]))) {
      const folded = name.toLowerCase();
      const path = [key, name];
      const other = known.get(folded);
      if (reservedHost.test(folded)) {
        findings.push({
          path,
          atKey: true,
          message: `the name ${show(name)} in ${key} belongs to the CVM itself`,
        });
      } else if (other !== undefined && other.address !== address) {
        const message = `${key}.${name} is ${show(address)}, but ${other.key} says ${show(other.address)}: keep one`;
        findings.push({ path, message });
      }
      known.set(folded, { address, key: `${key}.${name}` });
      if (typeof address === 'string' && isAddress(address) && /^(?:0\.0\.0\.0|[0:]+)$/.test(address)) {
        findings.push({
          path,
          message: `${key}.${name} is ${show(address)}: it must be the address of a host`,
        });
      }
    }
  }
  return findings;
};

/** Files whose content the workload executes, or that name the code to load. */
const executes =
  /\/(?:startup|custom)\/|\.(?:py|pyc|sh|so)$|\/(?:resources|log_config)\.json(?:\.default)?$|\/[^/]*__p_resources\.json$/;

const editableFilesBelongToAUserConfig: Rule = ({ user_config, user_config_editable }) => {
  const keys = Object.keys(mapOf(user_config));
  return listOf(user_config_editable).flatMap((file, index): Finding[] => {
    if (!editablePath.safeParse(file).success) return [];
    const path = ['user_config_editable', index];
    if (keys.includes(String(file).split('/')[0]!)) {
      const consequence = executes.test(String(file))
        ? 'the host can then run code of its own in the CVM'
        : 'the host can then put anything into it, before and during every run';
      return [{ path, severity: 'warning', message: `${show(file)} is not sealed: ${consequence}` }];
    }
    const known = keys.length === 0 ? 'there are none' : `they are ${keys.map(show).join(', ')}`;
    const message = `user_config_editable[${index}] is ${show(file)}: it must begin with a key of user_config; ${known}`;
    return [{ path, message }];
  });
};

const runtimeAttestationNeedsAFrequency: Rule = ({ runtime_attestation, cc_attestation }) =>
  runtime_attestation === true && mapOf(cc_attestation).check_frequency === undefined
    ? [
        {
          path: ['runtime_attestation'],
          message: 'runtime_attestation is true: it needs cc_attestation.check_frequency, which is missing',
        },
      ]
    : [];

/** Both build an image for a GPU; one without the other is most likely an oversight. */
const gpuAndItsAuthorizerBelongTogether: Rule = ({ cc_gpu_mechanism, cc_issuers }) => {
  const index = listOf(cc_issuers).findIndex((issuer) => {
    const { path } = mapOf(issuer);
    return typeof path === 'string' && attestsGpu(path);
  });
  if (cc_gpu_mechanism !== undefined && index === -1) {
    const message =
      'cc_gpu_mechanism is set, but no authorizer of cc_issuers checks the evidence of the GPU: one outside of confidential mode would not be noticed';
    return [{ path: ['cc_gpu_mechanism'], severity: 'warning', message }];
  }
  if (cc_gpu_mechanism === undefined && index !== -1) {
    const message = `cc_issuers[${index}] attests a GPU, so the image is built for one: set cc_gpu_mechanism to nvidia_cc as well. Launched without a GPU, the CVM fails its first check, and FLARE shuts down`;
    return [{ path: ['cc_issuers', index, 'path'], severity: 'warning', message }];
  }
  return [];
};

/** What the settings of cc_config must satisfy together. */
export const ccConfigRules: readonly Rule[] = [
  tokensExpireBeforeTheNextCheck,
  hostsAreNotAmbiguous,
  editableFilesBelongToAUserConfig,
  runtimeAttestationNeedsAFrequency,
  gpuAndItsAuthorizerBelongTogether,
];
