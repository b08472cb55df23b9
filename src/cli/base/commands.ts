import type { Command } from 'commander';

/** Base systems and firmware: `cvm base …`. Each command is a file of its own, loaded when it is called. */
export function addBaseCommands(base: Command): void {
  const add = (name: string, description: string) =>
    base
      .command(name)
      .description(description)
      .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given');

  add('build', 'build the base system by mmdebstrap, or find it in the cache')
    .option('--suite <name>', 'Debian or Ubuntu suite, in place of the one in builder.yml')
    .option(
      '--with <lists>',
      'packages beside the core: nfs, gpu, both with a comma between, or core for neither',
    )
    .option('--refresh', 'with the packages of today, also where the cache has a base')
    .action(async (options) => (await import('./build.ts')).baseBuildCommand(options));

  add('import', 'take an installed Ubuntu or Debian as the base: a disk image, a tar archive or a squashfs')
    .argument('<file>', 'qcow2, raw, vmdk, vhdx; tar, plain or with gz, xz, zst; squashfs')
    .option('--kernel <release>', 'kernel to take; the newest with its modules unless given')
    .option('--replay-journal', 'where the disk was not unmounted: replay its journal on a private copy')
    .option(
      '--install',
      "add the packages that it lacks, as `cvm base complete` does: runs the image's programs, apart from the host",
    )
    .action(async (file, options) => (await import('./import.ts')).importCommand(file, options));

  const subject =
    'squashfs, disk image or archive, or beginning of the id of a base in the cache; the base built here unless given';
  add('inspect', 'show what a base has and lacks of what a CVM needs, and what it brings in vain')
    .argument('[base]', subject)
    .option('--json', 'print JSON')
    .action(async (named, options) => (await import('./inspect.ts')).inspectCommand(named, options));
  add(
    'complete',
    "add the packages that a base lacks, from its own apt sources; runs the image's programs, apart from the host",
  )
    .argument('[base]', subject)
    .action(async (named, options) => (await import('./complete.ts')).completeCommand(named, options));

  const firmware = add(
    'firmware',
    'show where OVMF.amdsev.fd is found, and what a launch digest of it proves',
  )
    .option('--fetch', "fetch Debian's package first, into the cache")
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./firmware.ts')).firmwareCommand(options));
  firmware
    .command('build')
    .description("build sound firmware of Debian's edk2 source, for every later build")
    .option('--output <file>', 'copy it there, too')
    .option('--rebuild', 'build it again, from the packages of today')
    .action(async (_, command) =>
      (await import('./firmware-build.ts')).firmwareBuildCommand(command.optsWithGlobals()),
    );
}
