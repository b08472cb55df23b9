import { basename } from 'node:path';

/**
 * What to know before files of a drive change: launch_vm.sh gives the VM user_config under this name, and the VM compares it with
 * the sealed list.
 * @returns undefined for other drives
 */
export function sealedWarning(drive: string): string | undefined {
  if (basename(drive) !== 'user_config.qcow2') return undefined;
  return 'user_config is sealed: with any change but to files that user_config_editable named at the build, the VM does not start (E64)';
}
