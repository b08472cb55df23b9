import type { Manifest } from '../bundle/index.ts';
import { type AttestationReport, ecdsaP384Sha384 } from '../measure/attestation/index.ts';
import { hasPolicyBit, policyAbi, type policyBits } from '../measure/index.ts';

/** Something about a report, other than its digest, that is not as it should be. */
export interface ReportFinding {
  subject: 'policy' | 'vmpl' | 'signature' | 'version' | 'migration';
  /** Whether a key broker (Trustee's KBS with the policy of this builder) gives no key because of it. */
  refused: boolean;
  /** One sentence without a full stop, and what to do. */
  text: string;
  remedy: string;
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

/** The policy's bits in words, such as `ABI 0.0, SMT allowed`. */
export function policyText(policy: bigint): string {
  const { major, minor } = policyAbi(policy);
  const set = (Object.keys(policyNames) as (keyof typeof policyNames)[])
    .filter((bit) => hasPolicyBit(policy, bit))
    .map((bit) => policyNames[bit]);
  return [`ABI ${major}.${minor}`, ...set].join(', ');
}

const policyNames: Record<Exclude<keyof typeof policyBits, 'reserved'>, string> = {
  smt: 'SMT allowed',
  migrationAgent: 'migration agent allowed',
  debug: 'debugging allowed',
  singleSocket: 'single socket',
  cxl: 'CXL allowed',
  aes256Xts: 'AES-256-XTS required',
  raplOff: 'RAPL off required',
  ciphertextHiding: 'ciphertext hiding required',
  pageSwapOff: 'page swap off required',
};

/** What a key broker, or the bundle's admin, would find wrong about a report beside its digest. */
export function judgeReport(report: AttestationReport, { launch }: Manifest): ReportFinding[] {
  const { policy, vmpl, signatureAlgorithm, signingKey, version, reportIdMa } = report;
  const findings: ReportFinding[] = [];
  const add = (subject: ReportFinding['subject'], refused: boolean, text: string, remedy: string) =>
    findings.push({ subject, refused, text, remedy });
  const policyRemedy = `start the VM with policy=${launch.policy}, as launch_vm.sh does`;

  if (hasPolicyBit(policy, 'debug')) {
    add(
      'policy',
      true,
      'the policy allows debugging: the host can read and change the memory of the VM',
      policyRemedy,
    );
  }
  if (hasPolicyBit(policy, 'migrationAgent')) {
    add('policy', true, 'the policy allows a migration agent, which could move the VM', policyRemedy);
  }
  if (policy !== BigInt(launch.policy)) {
    add(
      'policy',
      false,
      `the policy is ${hex(policy)} (${policyText(policy)}) instead of ${launch.policy}`,
      policyRemedy,
    );
  }
  if (vmpl !== 0) {
    add(
      'vmpl',
      true,
      `the report was asked for at VMPL ${vmpl} instead of 0: by a workload, not by the system`,
      'ask for it at VMPL 0 (snpguest report --vmpl 0), outside of the workload',
    );
  }
  if (signatureAlgorithm !== ecdsaP384Sha384) {
    add(
      'signature',
      true,
      `its signature algorithm is ${signatureAlgorithm} instead of ${ecdsaP384Sha384} (ECDSA P-384 with SHA-384)`,
      'ask the VM for a report again',
    );
  }
  if (signingKey === 'none' || signingKey === 'reserved') {
    add(
      'signature',
      true,
      signingKey === 'none' ? 'no key signed it' : 'it names a signing key that is not defined',
      'ask the VM for a report again',
    );
  }
  if (report.maskChipKey) {
    add(
      'signature',
      true,
      'the host masks the chip key, so no certificate of the chip can prove the signature',
      "switch MaskChipKey off in the host's SNP configuration (snphost config set)",
    );
  }
  if (version === 2) {
    add('version', true, 'it is of version 2, which key brokers refuse', "update the host's SNP firmware");
  } else if (version === 5) {
    add(
      'version',
      false,
      'it is of version 5, which Trustee takes from v0.15.0 on',
      'update an older Trustee',
    );
  }
  if (!isUniform(reportIdMa, 0) && !isUniform(reportIdMa, 0xff)) {
    add('migration', false, 'a migration agent is bound to the VM', policyRemedy);
  }
  return findings;
}

/** The firmware fills the field with one value where there is no migration agent. */
function isUniform(bytes: Buffer, value: number): boolean {
  return bytes.every((byte) => byte === value);
}
