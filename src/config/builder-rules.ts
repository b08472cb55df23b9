import type { Finding, Rule } from './check.ts';
import { show } from './problem.ts';
import { listOf, mapOf } from './shapes.ts';

const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/** The address is measured and ends up in logs, so nothing secret may be in it; kbs-client adds the path. */
const kbsAddressIsPlain: Rule = ({ kbs }) => {
  const given = mapOf(kbs).url;
  if (typeof given !== 'string' || !URL.canParse(given)) return [];
  const url = new URL(given);
  const path = ['kbs', 'url'];
  const findings: Finding[] = [];
  if (url.username !== '' || url.password !== '') {
    findings.push({
      path,
      message: 'kbs.url holds a user name or password: anyone with the bundle could read it',
    });
  } else if (url.search !== '' || url.hash !== '' || given.endsWith('?') || given.endsWith('#')) {
    findings.push({ path, message: `kbs.url is ${show(given)}: it must have no "?" and no "#"` });
  } else if (/[^\x21-\x7e]|["'`$\\<>]/.test(given)) {
    findings.push({
      path,
      message: `kbs.url is ${show(given)}: it must be written in plain ASCII without quotes`,
    });
  } else if (url.protocol === 'http:' && !loopback.test(url.hostname)) {
    const message = `kbs.url is ${show(given)}: without https anyone on the way can answer in place of the KBS`;
    findings.push({ path, message, severity: 'warning' });
  }
  return findings;
};

const oneAdminCredential: Rule = ({ kbs }) => {
  const { admin_key, admin_token } = mapOf(kbs);
  if (admin_key === undefined || admin_token === undefined) return [];
  const message = 'kbs.admin_token is given beside kbs.admin_key: keep the one that the KBS takes';
  return [{ path: ['kbs', 'admin_token'], atKey: true, message }];
};

const pushNeedsAnAddress: Rule = ({ kbs }) => {
  const { push, url } = mapOf(kbs);
  if (push !== 'auto' || url !== undefined) return [];
  return [{ path: ['kbs', 'push'], message: 'kbs.push is "auto": it needs kbs.url, which is missing' }];
};

const snpIsActive: Rule = ({ machine }) => {
  const given = mapOf(machine).guest_features;
  if (typeof given !== 'number' && typeof given !== 'string') return [];
  const bits = Number(given);
  if (!Number.isInteger(bits) || (bits & 1) === 1) return [];
  const message = `machine.guest_features is ${show(given)}: bit 0 (SNPActive) must be set, as in 0x1`;
  return [{ path: ['machine', 'guest_features'], message }];
};

const baseIsImportedOrBuilt: Rule = ({ base }) => {
  const { image, ...others } = mapOf(base);
  if (image === undefined) return [];
  return ['suite', 'with', 'mirror', 'security_mirror']
    .filter((key) => others[key] !== undefined)
    .map((key) => ({
      path: ['base', key],
      atKey: true,
      severity: 'warning',
      message: `base.${key} is ignored: base.image brings its own`,
    }));
};

const securityMirrorGoesWithMirror: Rule = ({ base }) => {
  const { mirror, security_mirror } = mapOf(base);
  if (mirror !== undefined || security_mirror === undefined) return [];
  return [
    { path: ['base', 'security_mirror'], message: 'base.security_mirror is given without base.mirror' },
  ];
};

/** FLARE and its users put keys anywhere into a kit: the homomorphic context lies among the scripts. */
const kitsAreNotOpenedWhole: Rule = ({ user_config_plain }) =>
  listOf(user_config_plain).flatMap((entry, index): Finding[] => {
    if (typeof entry !== 'string' || !/^nvflare\/(?:.*\/)?$/.test(entry)) return [];
    const message = `user_config_plain[${index}] is ${show(entry)}: folders of a FLARE kit hold keys, so name single files; its public ones are plain as it is`;
    return [{ path: ['user_config_plain', index], message }];
  });

/** What the settings of builder.yml must satisfy together. */
export const builderRules: readonly Rule[] = [
  kbsAddressIsPlain,
  oneAdminCredential,
  pushNeedsAnAddress,
  snpIsActive,
  baseIsImportedOrBuilt,
  securityMirrorGoesWithMirror,
  kitsAreNotOpenedWhole,
];
