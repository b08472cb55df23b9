import type { AttestationReport, TcbVersion } from '../measure/attestation/index.ts';
import { policyText } from './judge-report.ts';

const hex = (value: bigint) => `0x${value.toString(16)}`;

/** A report's fields as name and value, in the order of the structure. Byte fields in hex. */
export function reportFields(report: AttestationReport): [name: string, value: string][] {
  const { cpu, platform, currentVersion, committedVersion, launchMitigations, currentMitigations } = report;
  const version = ({ major, minor, build }: typeof currentVersion) => `${major}.${minor}.${build}`;
  const set = Object.entries(platform).filter(([, value]) => value);
  const key = [
    report.signingKey.toUpperCase(),
    ...(report.authorKeyEnabled ? ['author key enabled'] : []),
    ...(report.maskChipKey ? ['chip key masked'] : []),
  ];
  return [
    ['version', `${report.version}`],
    ['guest SVN', `${report.guestSvn}`],
    ['policy', `${hex(report.policy)} (${policyText(report.policy)})`],
    ['family id', report.familyId.toString('hex')],
    ['image id', report.imageId.toString('hex')],
    ['VMPL', `${report.vmpl}`],
    ['signature algorithm', algorithmText(report.signatureAlgorithm)],
    ['signing key', key.join(', ')],
    [
      'platform',
      set.map(([name]) => platformNames[name as keyof typeof platform]).join(', ') || 'nothing set',
    ],
    ['measurement', report.measurement.toString('hex')],
    ['report data', report.reportData.toString('hex')],
    ['host data', report.hostData.toString('hex')],
    ['ID key digest', report.idKeyDigest.toString('hex')],
    ['author key digest', report.authorKeyDigest.toString('hex')],
    ['report id', report.reportId.toString('hex')],
    ['report id of the migration agent', report.reportIdMa.toString('hex')],
    ['current TCB', tcbText(report.currentTcb)],
    ['reported TCB', tcbText(report.reportedTcb)],
    ['committed TCB', tcbText(report.committedTcb)],
    ['launch TCB', tcbText(report.launchTcb)],
    ...optional('CPU', cpu && `family ${cpu.family}, model ${cpu.model}, stepping ${cpu.stepping}`),
    ['chip id', report.chipId.toString('hex')],
    ['current firmware', version(currentVersion)],
    ['committed firmware', version(committedVersion)],
    ...optional('launch mitigations', launchMitigations === undefined ? undefined : hex(launchMitigations)),
    ...optional(
      'current mitigations',
      currentMitigations === undefined ? undefined : hex(currentMitigations),
    ),
  ];
}

const platformNames: Record<keyof AttestationReport['platform'], string> = {
  smtEnabled: 'SMT on',
  tsmeEnabled: 'TSME on',
  eccEnabled: 'ECC memory',
  raplDisabled: 'RAPL off',
  ciphertextHiding: 'ciphertext hiding',
  aliasCheckComplete: 'alias check complete',
  tioEnabled: 'TIO on',
};

const optional = (name: string, value: string | undefined): [string, string][] =>
  value === undefined ? [] : [[name, value]];

function algorithmText(algorithm: number): string {
  return algorithm === 1 ? '1 (ECDSA P-384 with SHA-384)' : `${algorithm} (not defined)`;
}

function tcbText({ fmc, bootLoader, tee, snp, microcode }: TcbVersion): string {
  const parts = { ...(fmc === undefined ? {} : { FMC: fmc }), 'boot loader': bootLoader, TEE: tee };
  return Object.entries({ ...parts, SNP: snp, microcode })
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
