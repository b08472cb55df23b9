import type { Command } from 'commander';

/** Base systems and firmware: `cvm base …`. Each command is a file of its own, loaded when it is called. */
export function addBaseCommands(base: Command): void {
  base
    .command('import')
    .description('take an installed Ubuntu or Debian as the base: a disk image, a tar archive or a squashfs')
    .argument('<file>', 'qcow2, raw, vmdk, vhdx; tar, plain or with gz, xz, zst; squashfs')
    .option('--kernel <release>', 'kernel to take; the newest with its modules unless given')
    .option('--replay-journal', 'where the disk was not unmounted: replay its journal on a private copy')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .action(async (file, options) => (await import('./import.ts')).importCommand(file, options));
}
