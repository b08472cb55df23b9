/** Options of a kernel by name, without the `CONFIG_`; one that is not set is absent. */
export type KernelConfig = ReadonlyMap<string, string>;

/** Reads a kernel's `.config`. */
export function parseKernelConfig(text: string): KernelConfig {
  const lines = text.matchAll(/^CONFIG_(\w+)=("?)(.*)\2$/gm);
  return new Map([...lines].map(([, name, , value]) => [name!, value!]));
}

/** An option without which the CVM would not boot, or not hold. */
export interface RequiredOption {
  option: string;
  why: string;
  /** `y`, where a module would come too late or cannot be; else either will do. */
  builtIn?: boolean;
}

const builtIn = true;

/**
 * What modules do not show ({@link file://./kernel.ts} has those): parts of the kernel itself, and options of modules.
 * Names are those of Linux 6.1 to 6.17.
 */
export const requiredOptions: readonly RequiredOption[] = [
  { option: 'AMD_MEM_ENCRYPT', why: 'runs as a SEV-SNP guest', builtIn },
  { option: 'EFI', why: 'is started by the firmware', builtIn },
  { option: 'BLK_DEV_INITRD', why: 'the initrd', builtIn },
  { option: 'RD_ZSTD', why: 'the initrd is compressed with zstd', builtIn },
  { option: 'DEVTMPFS', why: 'devices appear without udev', builtIn },
  { option: 'TMPFS_XATTR', why: 'the writable layers in RAM', builtIn },
  { option: 'SQUASHFS_ZSTD', why: 'the sealed layers are compressed with zstd', builtIn },
  { option: 'SQUASHFS_XATTR', why: "folders that the workload's layers replace, file capabilities", builtIn },
  { option: 'MODULES', why: 'drivers are modules', builtIn },
  { option: 'MODULE_SIG', why: 'under lockdown only signed modules load', builtIn },
  {
    option: 'SECURITY_LOCKDOWN_LSM',
    why: 'lockdown=integrity: root in the CVM cannot write to the kernel',
    builtIn,
  },
  { option: 'NF_TABLES_INET', why: 'the firewall', builtIn },
  { option: 'NFT_REJECT_INET', why: 'the firewall' },
  { option: 'CRYPTO_AES', why: 'the encrypted root drive' },
  { option: 'CRYPTO_XTS', why: 'the encrypted root drive' },
  { option: 'CRYPTO_SHA256', why: 'the seal of the root drive' },
  { option: 'CRYPTO_HMAC', why: 'the authenticated vault' },
  { option: 'CGROUPS', why: 'systemd', builtIn },
  { option: 'UNIX', why: 'systemd', builtIn },
  { option: 'EPOLL', why: 'systemd', builtIn },
  { option: 'SIGNALFD', why: 'systemd', builtIn },
  { option: 'TIMERFD', why: 'systemd', builtIn },
  { option: 'INOTIFY_USER', why: 'systemd', builtIn },
  { option: 'FHANDLE', why: 'systemd', builtIn },
  { option: 'USER_NS', why: "the container's root is nobody in the VM", builtIn },
  { option: 'PID_NS', why: 'the container of the workload', builtIn },
  { option: 'IPC_NS', why: 'the container of the workload', builtIn },
  { option: 'UTS_NS', why: 'the container of the workload', builtIn },
  { option: 'SECCOMP_FILTER', why: 'the container of the workload', builtIn },
];

/** The required options that a kernel was built without. */
export function missingOptions(config: KernelConfig): RequiredOption[] {
  return requiredOptions.filter(({ option, builtIn }) => {
    const value = config.get(option);
    return value !== 'y' && (builtIn === true || value !== 'm');
  });
}

/** What the kernel does by itself or on our command line, and the part of it that matters, for people. */
export function configNotes(config: KernelConfig): string[] {
  const notes: string[] = [];
  const lsm = config.get('LSM');
  const early = config.get('SECURITY_LOCKDOWN_LSM_EARLY') === 'y';
  if (!early && lsm !== undefined && !lsm.split(',').includes('lockdown')) {
    notes.push(
      'the kernel starts without its lockdown module (CONFIG_LSM), so lockdown=integrity has no effect',
    );
  }
  // Only where the option is still there: a kernel without it trusts the CPU always.
  if (config.has('RANDOM_TRUST_BOOTLOADER') && !config.has('RANDOM_TRUST_CPU')) {
    notes.push(
      'the kernel was built without RANDOM_TRUST_CPU: it does not count what RDRAND gives, and may wait for randomness at boot',
    );
  }
  return notes;
}
