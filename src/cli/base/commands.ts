import type { Command } from 'commander';

/** Base systems and firmware: `cvm base …`. Each command is a file of its own, loaded when it is called. */
export function addBaseCommands(base: Command): void {
  addFirmwareCommands(base);
}

function addFirmwareCommands(base: Command): void {
  const config = [
    '--config <builder.yml>',
    'settings; the builder.yml beside cvm_build.sh unless given',
  ] as const;
  const firmware = base
    .command('firmware')
    .description('show where OVMF.amdsev.fd is found, and what a launch digest of it proves')
    .option(...config)
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
