import type { Command } from 'commander';

/** The plain drives of a bundle: `cvm drive …`. Each command is a file of its own, loaded when it is called. */
export function addDriveCommands(drive: Command): void {
  const add = (name: string, description: string) => drive.command(name).description(description);

  add('resize', 'grow or shrink a plain drive and its file system, while its VM is stopped')
    .argument('<drive>', 'user_data.qcow2, applog.qcow2 or user_config.qcow2')
    .argument('<size>', 'the new size such as 21G, or +20G for so much more; 1G is 2^30 bytes')
    .option('--dry-run', 'check everything and say what would be done')
    .option('--repair', 'let e2fsck repair what it would ask about')
    .option('--kernel-nbd', "use the kernel's nbd device, as root, in place of FUSE")
    .option('--copy', 'work on a copy that replaces the drive, in place of FUSE')
    .action(async (file, size, options) => (await import('./resize.ts')).resizeCommand(file, size, options));
}
