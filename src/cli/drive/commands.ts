import type { Command } from 'commander';

/** Drives of a bundle: `cvm drive …`. Each command is a file of its own, loaded when it is called. */
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
  add('info', 'show size, use and state of a drive')
    .argument('<drive>', 'qcow2 file, such as user_data.qcow2')
    .option('--json', 'print JSON')
    .action(async (file, options) => (await import('./info.ts')).infoCommand(file, options));
  add('ls', 'list files of a drive')
    .argument('<place>', 'DRIVE or DRIVE:/path')
    .option('-r, --recursive', 'with what lies in folders below')
    .option('--json', 'print JSON, one entry a line')
    .action(async (place, options) => (await import('./ls.ts')).listCommand(place, options));
  add('cat', 'print a file of a drive')
    .argument('<place>', 'DRIVE:/path')
    .action(async (place) => (await import('./cat.ts')).catCommand(place));
  add('cp', 'copy files to a drive or from it; the same command goes on where one was cut off')
    .usage('[options] <from...> <to>')
    .argument('<path...>', 'from where, and last to where: DRIVE:/path, files and folders here')
    .option('-r, --recursive', 'folders with all that lies in them')
    .option(
      '--owner <uid:gid>',
      "owner of what is written; root keeps the source's, others give files to 0:0",
    )
    .option('--verify', 'compare every file afterwards, byte by byte')
    .action(async (paths, options) => (await import('./cp.ts')).copyCommand(paths, options));
  add('rm', 'remove files of a drive')
    .argument('<place...>', 'DRIVE:/path')
    .option('-r, --recursive', 'folders with all that lies in them')
    .action(async (places, options) => (await import('./rm.ts')).removeCommand(places, options));
  add('check', 'check the file system of a drive')
    .argument('<drive>', 'qcow2 file')
    .option('--repair', 'repair what is safe to repair')
    .option('--json', 'print JSON')
    .action(async (file, options) => (await import('./check.ts')).checkCommand(file, options));
  add('mount', 'mount a drive in user space (FUSE), until Ctrl-C; read-only')
    .argument('<drive>', 'qcow2 file')
    .argument('<folder>', 'an empty folder')
    .option('--write', 'let programs write to it')
    .action(async (file, folder, options) =>
      (await import('./mount.ts')).mountCommand(file, folder, options),
    );
  add('nfs', 'have the VM mount an NFS share at /user_data/mnt')
    .argument('<drive>', 'user_data.qcow2, in its bundle where the ports are to be checked')
    .argument('<share>', 'server:/export')
    .action(async (file, share) => (await import('./nfs.ts')).shareCommand(file, share));
}
