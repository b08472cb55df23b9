import type { CpuIdentity } from '../cpu.ts';
import { hex, MeasurementError } from '../error.ts';
import { hasPolicyBit } from '../policy.ts';
import { readTcb, type TcbLayout, type TcbVersion } from './tcb.ts';

/** Version of the SNP firmware itself. */
export interface FirmwareVersion {
  major: number;
  minor: number;
  build: number;
}

/** An attestation report, field by field. Byte fields are as the report has them; none is checked to be true. */
export interface AttestationReport {
  /** 2 to 5. */
  version: number;
  guestSvn: number;
  /** Guest policy, 64 bits: see `hasPolicyBit` and `policyAbi`. */
  policy: bigint;
  familyId: Buffer;
  imageId: Buffer;
  /** Privilege level that asked for the report; 0 is the highest. */
  vmpl: number;
  /** {@link ecdsaP384Sha384} is the only one defined. */
  signatureAlgorithm: number;
  currentTcb: TcbVersion;
  reportedTcb: TcbVersion;
  committedTcb: TcbVersion;
  launchTcb: TcbVersion;
  platform: Record<keyof typeof platformBits, boolean>;
  authorKeyEnabled: boolean;
  maskChipKey: boolean;
  signingKey: 'vcek' | 'vlek' | 'none' | 'reserved';
  /** What the guest asked to be signed, 64 bytes. */
  reportData: Buffer;
  /** Launch digest, 48 bytes. */
  measurement: Buffer;
  /** What the host gave at launch, 32 bytes. */
  hostData: Buffer;
  idKeyDigest: Buffer;
  authorKeyDigest: Buffer;
  reportId: Buffer;
  /** Report of the migration agent. */
  reportIdMa: Buffer;
  /** The physical CPU; from version 3 on. */
  cpu: CpuIdentity | undefined;
  /** 64 bytes; on Turin only the first 8 are used. */
  chipId: Buffer;
  currentVersion: FirmwareVersion;
  committedVersion: FirmwareVersion;
  /** Mitigation vectors; from version 5 on. */
  launchMitigations: bigint | undefined;
  currentMitigations: bigint | undefined;
  /** 512 bytes: R and S little-endian in 72 bytes each, zeros. It covers what is before it. */
  signature: Buffer;
}

/** Bytes in a report. */
export const attestationReportSize = 1184;

/** SIGNATURE_ALGO: ECDSA on P-384 with SHA-384 (AMD 56860, "Signature Algorithms"). */
export const ecdsaP384Sha384 = 1;

/** ATTESTATION_REPORT (AMD 56860, "ATTESTATION_REPORT Structure"): offset and size in bytes. Little-endian. */
const layout = {
  version: [0x000, 4],
  guestSvn: [0x004, 4],
  policy: [0x008, 8],
  familyId: [0x010, 16],
  imageId: [0x020, 16],
  vmpl: [0x030, 4],
  signatureAlgorithm: [0x034, 4],
  currentTcb: [0x038, 8],
  platformInfo: [0x040, 8],
  keyInfo: [0x048, 4],
  reserved04c: [0x04c, 4],
  reportData: [0x050, 64],
  measurement: [0x090, 48],
  hostData: [0x0c0, 32],
  idKeyDigest: [0x0e0, 48],
  authorKeyDigest: [0x110, 48],
  reportId: [0x140, 32],
  reportIdMa: [0x160, 32],
  reportedTcb: [0x180, 8],
  /** Family, model, stepping, one byte each; reserved in version 2. */
  cpu: [0x188, 3],
  reserved18b: [0x18b, 21],
  chipId: [0x1a0, 64],
  committedTcb: [0x1e0, 8],
  /** Build, minor, major, one byte each. */
  currentVersion: [0x1e8, 3],
  reserved1eb: [0x1eb, 1],
  committedVersion: [0x1ec, 3],
  reserved1ef: [0x1ef, 1],
  launchTcb: [0x1f0, 8],
  /** Reserved before version 5, but not always zero then. */
  launchMitigations: [0x1f8, 8],
  currentMitigations: [0x200, 8],
  reserved208: [0x208, 152],
  signature: [0x2a0, 512],
} as const;

type Field = keyof typeof layout;

/** PLATFORM_INFO. Newer firmware may set further bits. */
const platformBits = {
  smtEnabled: 0,
  tsmeEnabled: 1,
  eccEnabled: 2,
  raplDisabled: 3,
  ciphertextHiding: 4,
  aliasCheckComplete: 5,
  tioEnabled: 7,
} as const;

/** KEY_INFO: bit 0 author key enabled, 1 chip key masked, 4:2 signing key. */
const signingKeys: Record<number, AttestationReport['signingKey']> = { 0: 'vcek', 1: 'vlek', 7: 'none' };

/** CPU family of Turin, the first with the newer layout of TCB_VERSION. */
const turinFamily = 0x1a;

/**
 * What the kernel's SNP_GET_REPORT hands out (struct snp_report_resp): 4000 bytes with a MSG_REPORT_RSP, which is u32
 * status, u32 size of the report, 24 reserved bytes, the report.
 */
const response = { size: 4000, status: 0, reportSize: 4, report: 32 } as const;

/**
 * Reads an attestation report: the 1184 bytes that snpguest writes, or the 4000 of the kernel's answer that holds
 * them. **The signature is not verified**: whoever made the file chose what is in it.
 * @throws MeasurementError for another size or version, and where bytes that must be zero are not.
 */
export function parseAttestationReport(bytes: Buffer): AttestationReport {
  const report = unwrap(bytes);
  const at = (field: Field) => {
    const [offset, size] = layout[field];
    return report.subarray(offset, offset + size);
  };
  const word = (field: Field) => at(field).readUInt32LE();
  const quad = (field: Field) => at(field).readBigUInt64LE();
  const copy = (field: Field) => Buffer.from(at(field));

  const version = word('version');
  if (version < 2 || version > 5) {
    throw cannot(`its version is ${version}, expected 2 to 5`, layout.version[0]);
  }
  const policy = quad('policy');
  if (!hasPolicyBit(policy, 'reserved')) {
    throw cannot(`its policy is ${hex(policy)}, expected bit 17 to be one`, layout.policy[0]);
  }
  checkZero(report, ['reserved04c', 'reserved18b', 'reserved1eb', 'reserved1ef', 'reserved208']);
  if (version === 2) checkZero(report, ['cpu']);

  const [family, model, stepping] = at('cpu') as unknown as [number, number, number];
  const cpu = version >= 3 ? { family, model, stepping } : undefined;
  const tcbLayout = tcbLayoutOf(cpu, at('chipId'));
  const tcb = (field: Field) => readTcb(report, layout[field][0], tcbLayout);
  const keyInfo = word('keyInfo');
  const platformInfo = quad('platformInfo');
  return {
    version,
    guestSvn: word('guestSvn'),
    policy,
    familyId: copy('familyId'),
    imageId: copy('imageId'),
    vmpl: word('vmpl'),
    signatureAlgorithm: word('signatureAlgorithm'),
    currentTcb: tcb('currentTcb'),
    reportedTcb: tcb('reportedTcb'),
    committedTcb: tcb('committedTcb'),
    launchTcb: tcb('launchTcb'),
    platform: Object.fromEntries(
      Object.entries(platformBits).map(([name, bit]) => [name, ((platformInfo >> BigInt(bit)) & 1n) === 1n]),
    ) as AttestationReport['platform'],
    authorKeyEnabled: (keyInfo & 1) !== 0,
    maskChipKey: (keyInfo & 2) !== 0,
    signingKey: signingKeys[(keyInfo >> 2) & 7] ?? 'reserved',
    reportData: copy('reportData'),
    measurement: copy('measurement'),
    hostData: copy('hostData'),
    idKeyDigest: copy('idKeyDigest'),
    authorKeyDigest: copy('authorKeyDigest'),
    reportId: copy('reportId'),
    reportIdMa: copy('reportIdMa'),
    cpu,
    chipId: copy('chipId'),
    currentVersion: firmwareVersion(at('currentVersion')),
    committedVersion: firmwareVersion(at('committedVersion')),
    launchMitigations: version >= 5 ? quad('launchMitigations') : undefined,
    currentMitigations: version >= 5 ? quad('currentMitigations') : undefined,
    signature: copy('signature'),
  };
}

const cannot = (cause: string, offset: number) =>
  new MeasurementError(`cannot read attestation report: ${cause}`, { offset });

function unwrap(bytes: Buffer): Buffer {
  if (bytes.length === attestationReportSize) return bytes;
  if (bytes.length !== response.size) {
    throw cannot(
      `it has ${bytes.length} bytes, expected ${attestationReportSize} (or ${response.size}, the kernel's answer to SNP_GET_REPORT)`,
      0,
    );
  }
  const status = bytes.readUInt32LE(response.status);
  if (status !== 0) {
    throw cannot(`the firmware answered with status ${hex(status)}, expected 0`, response.status);
  }
  const size = bytes.readUInt32LE(response.reportSize);
  if (size !== attestationReportSize) {
    throw cannot(
      `the firmware's report has ${size} bytes, expected ${attestationReportSize}`,
      response.reportSize,
    );
  }
  return bytes.subarray(response.report, response.report + attestationReportSize);
}

function checkZero(report: Buffer, fields: readonly Field[]): void {
  for (const field of fields) {
    const [offset, size] = layout[field];
    const found = report.subarray(offset, offset + size).findIndex((byte) => byte !== 0);
    if (found === -1) continue;
    const place = offset + found;
    throw cannot(`byte ${hex(place)} is ${hex(report[place]!)}, expected 0 in a reserved field`, place);
  }
}

/** Version 2 names no CPU; there, as verifiers do, the chip's id tells: Turin's has 8 bytes, then zeros. */
function tcbLayoutOf(cpu: CpuIdentity | undefined, chipId: Buffer): TcbLayout {
  if (cpu !== undefined) return cpu.family >= turinFamily ? 'turin' : 'milan';
  const isZero = (bytes: Buffer) => bytes.every((byte) => byte === 0);
  return !isZero(chipId) && isZero(chipId.subarray(8)) ? 'turin' : 'milan';
}

function firmwareVersion(bytes: Buffer): FirmwareVersion {
  const [build, minor, major] = bytes as unknown as [number, number, number];
  return { major, minor, build };
}
