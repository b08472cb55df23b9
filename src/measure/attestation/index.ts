/** Attestation reports: what a running VM's platform says of its launch. Apart, for what only measures needs none. */
export {
  type AttestationReport,
  attestationReportSize,
  ecdsaP384Sha384,
  type FirmwareVersion,
  parseAttestationReport,
} from './report.ts';
export type { TcbVersion } from './tcb.ts';
