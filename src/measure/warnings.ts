import { hex } from './error.ts';
import { defaultSevFeatures } from './launch-digest.ts';
import { hasPolicyBit, policyBits } from './policy.ts';

/** What a launch is started with beside its files. */
export interface LaunchSettings {
  commandLine?: string;
  /** SEV_FEATURES. */
  features?: bigint;
  /** Guest policy. */
  policy?: bigint;
}

/** Policy bits that Linux 6.12's KVM refuses when set. */
const refusedByLinux = [
  'migrationAgent',
  'singleSocket',
  'cxl',
  'aes256Xts',
  'raplOff',
  'ciphertextHiding',
  'pageSwapOff',
] as const satisfies (keyof typeof policyBits)[];

/** Sentences about settings that are measurable but rarely meant. Empty where all is as usual. */
export function launchWarnings({ commandLine, features, policy }: LaunchSettings): string[] {
  const warnings: string[] = [];
  if (commandLine?.endsWith('\n')) {
    warnings.push('the command line ends in a newline, which is measured too');
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
  if (commandLine !== undefined && /[^\x00-\x7f]/.test(commandLine)) {
    warnings.push(
      'the command line has characters outside of ASCII; every tool must pass on the same UTF-8 bytes',
    );
  }
  if (features !== undefined && features !== defaultSevFeatures) {
    warnings.push(
      `SEV_FEATURES is ${hex(features)}; upstream Linux and QEMU start guests with ${hex(defaultSevFeatures)}`,
    );
  }
  if (policy === undefined) return warnings;
  if (hasPolicyBit(policy, 'debug')) {
    warnings.push('the guest policy allows debugging: the host can read and change the memory of the guest');
  }
  if (!hasPolicyBit(policy, 'smt')) {
    warnings.push('the guest policy forbids SMT (bit 16 is 0), which Linux 6.12 refuses');
  }
  for (const bit of refusedByLinux) {
    if (hasPolicyBit(policy, bit)) {
      warnings.push(`the guest policy sets ${bit} (bit ${policyBits[bit]}), which Linux 6.12 refuses`);
    }
  }
  return warnings;
}
