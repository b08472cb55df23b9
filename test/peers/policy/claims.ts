import type { Digest } from './texts.ts';

/** Claims by name; undefined leaves one out. */
export type Claims = Record<string, unknown>;

/** A release's way of asking and of writing digests. */
export interface Era {
  name: string;
  data(path: string, plugin?: string): unknown;
  text(digest: Digest): string;
}

/** `data` as key brokers up to v0.16 set it. */
const asText = (path: string, plugin = 'resource') => ({ 'resource-path': `${plugin}/${path}` });

/** `data` as key brokers from v0.17 set it. */
export const asList = (path: string, plugin = 'resource') => ({
  plugin,
  'resource-path': path.split('/'),
  query: {},
});

/** v0.17 is between them: it asks like the later ones, and writes digests like the earlier ones. */
export const eras: readonly Era[] = [
  { name: 'v0.14 to v0.16', data: asText, text: ({ base64 }) => base64 },
  { name: 'v0.18 and later', data: asList, text: ({ hex }) => hex },
];

/** A token's payload around some evidence. */
export const token = (evidence: Claims, cpu0: Claims = {}) => ({
  eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
  iat: 1_790_000_000,
  exp: 1_790_000_300,
  'ear.verifier-id': { build: 'attestation-service 0.1.0', developer: 'https://confidentialcontainers.org' },
  submods: {
    cpu0: {
      'ear.status': 'contraindicated',
      'ear.trustworthiness-vector': { configuration: 3, executables: 33, hardware: 97 },
      'ear.appraisal-policy-id': 'default',
      ...cpu0,
      'ear.veraison.annotated-evidence': {
        report_data: 'ab'.repeat(64),
        runtime_data_claims: { nonce: 'AAAA', 'tee-pubkey': { kty: 'EC' }, 'additional-evidence': '' },
        init_data: '00'.repeat(32),
        init_data_claims: null,
        ...evidence,
      },
    },
  },
});

/** What SNP hardware says of a guest with this launch digest; a claim of undefined is left out. */
export const snp = (measurement: unknown, changes: Claims = {}) => ({
  measurement,
  policy_abi_major: 0,
  policy_abi_minor: 31,
  policy_smt_allowed: true,
  policy_migrate_ma: false,
  policy_debug_allowed: false,
  policy_single_socket: false,
  reported_tcb_bootloader: 4,
  reported_tcb_tee: 0,
  reported_tcb_snp: 22,
  reported_tcb_microcode: 213,
  platform_tsme_enabled: false,
  platform_smt_enabled: true,
  ...changes,
});

/** A digest in the encoding of the other era. */
export const otherEncoding = (era: Era, { base64, hex }: Digest) =>
  era.text({ base64, hex }) === hex ? base64 : hex;

/** A guest of which the attestation policy approves. */
export const affirming = (measurement: string) =>
  token({ snp: snp(measurement) }, { 'ear.status': 'affirming' });

/** A guest that may be debugged. */
export const debugged = (era: Era, digest: Digest) =>
  token({ snp: snp(era.text(digest), { policy_debug_allowed: true }) });

/** The four parts of the reported TCB: one version for all, and others for some. */
export const tcbOf = (all: number | undefined, other: Record<string, number> = {}): Claims =>
  Object.fromEntries(
    ['bootloader', 'tee', 'snp', 'microcode'].map((part) => [`reported_tcb_${part}`, other[part] ?? all]),
  );

/** No reported TCB, but for one part. */
export const noTcbBut = (part?: string, version?: number): Claims =>
  tcbOf(undefined, part === undefined ? {} : { [part]: version! });
