import type { Command } from 'commander';

/** Base systems and firmware: `cvm base …`. Each command is a file of its own, loaded when it is called. */
export function addBaseCommands(base: Command): void {
  base
    .command('build')
    .description('build the base system by mmdebstrap, or find it in the cache')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--suite <name>', 'Debian or Ubuntu suite, in place of the one in builder.yml')
    .option(
      '--with <lists>',
      'packages beside the core: nfs, gpu, both with a comma between, or core for neither',
    )
    .option('--refresh', 'with the packages of today, also where the cache has a base')
    .action(async (options) => (await import('./build.ts')).baseBuildCommand(options));

  const subject =
    'squashfs file, or beginning of the id of a base in the cache; the base built here unless given';

  base
    .command('inspect')
    .description('show what a base has and lacks of what a CVM needs, and what it brings in vain')
    .argument('[base]', subject)
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--json', 'print JSON')
    .action(async (named, options) => (await import('./inspect.ts')).inspectCommand(named, options));

  base
    .command('complete')
    .description(
      "add the packages that a base lacks, from its own apt sources; runs the image's programs, apart from the host",
    )
    .argument('[base]', subject)
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .action(async (named, options) => (await import('./complete.ts')).completeCommand(named, options));
}
