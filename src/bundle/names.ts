/** Name of the manifest in a bundle. */
export const manifestName = 'manifest.json';

/** Every other file of a bundle, in the order of `LC_ALL=C ls`. */
export const hashedFiles = [
  'OVMF.amdsev.fd',
  'README.txt',
  'applog.qcow2',
  'crypt_root.qcow2',
  'initrd.img',
  'launch_vm.sh',
  'user_config.qcow2',
  'user_data.qcow2',
  'vmlinuz',
] as const;

/** The ten files of a bundle, sorted bytewise. */
export const bundleFiles: readonly string[] = [...hashedFiles, manifestName].sort();

/** Drives that change in normal use: crypt_root holds the vault. */
export const changingFiles: ReadonlySet<string> = new Set([
  'applog.qcow2',
  'crypt_root.qcow2',
  'user_data.qcow2',
]);

/** Name of a bundle's folder. */
export const bundleFolderPattern = /^cvm_([0-9a-f]{12})$/;
