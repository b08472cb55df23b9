import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { exitStatus } from '../host/errors.ts';

/** The `cvm` command. Each subcommand is a file of its own, loaded when it is called. */
function program(): Command {
  const cvm = new Command('cvm')
    .description(
      'Builds confidential VM images, and the reference values by which a key broker releases their keys.',
    )
    .version(packageJson.version)
    .showHelpAfterError('(see --help)')
    .exitOverride();

  cvm
    .command('build')
    .description("build the bundle of one site from FLARE's cc_config file")
    .argument('<cc_config.yml>', "the site's configuration")
    .option('--dev', 'a development bundle: boots anywhere with `cvm boot`, protects nothing')
    .option('--name <name>', "name of the bundle; the startup kit's folder name unless given")
    .option('--project <name>', "FLARE project; read off the startup kit's path unless given")
    .option(
      '--config <builder.yml>',
      'settings of this builder; the builder.yml beside cvm_build.sh unless given',
    )
    .option('--output <folder>', 'folder that gets target/ and handoff/; the working directory unless given')
    .option('--keep-previous', 'leave earlier images of the same site their right to a key')
    .option('--refresh-base', 'build the base system anew, with the packages of today')
    .option('--accept-firmware <sha256...>', 'take this firmware although its verdict is not "sound"')
    .option('--plan', 'show the tasks and what is cached, and build nothing')
    .action(async (file, options) => (await import('./build.ts')).buildCommand(file, options));

  cvm
    .command('boot')
    .description('boot a development bundle on this machine, against the development key broker')
    .argument('<bundle>', 'folder cvm_<id>, or .tgz')
    .option('--kbs <url>', 'a running development key broker, in place of one of its own')
    .option('--opa <path>', 'let the development key broker judge by policy.rego itself, with this OPA')
    .option('--vcpus <number>', 'one of the measured counts')
    .option('--memory <GiB>', 'memory of the VM', '2')
    .option('--accel <kvm|tcg|auto>', 'how to run it', 'auto')
    .option('--forward <host:guest...>', 'TCP port of this machine that leads to a port of the CVM')
    .option('--timeout <seconds>', 'stop a VM that does not end by itself', '900')
    .action(async (bundle, options) => (await import('./boot.ts')).bootCommand(bundle, options));

  const kbs = cvm.command('kbs').description('the development key broker');
  kbs
    .command('serve')
    .description('serve the keys of development bundles (KBS protocol 0.4.0, sample TEE) until interrupted')
    .option('--listen <host:port>', 'address', '127.0.0.1:8999')
    .option('--digest <hex>', 'launch digest that a sample handshake is taken to prove')
    .option('--opa <path>', 'judge by policy.rego itself, with this OPA')
    .action(async (options) => (await import('./kbs-serve.ts')).kbsServeCommand(options));

  cvm
    .command('logs')
    .description("print the logs on a bundle's applog drive, without mounting it")
    .argument('<bundle>', 'folder cvm_<id>, or an applog.qcow2')
    .argument('[file...]', 'names on the drive; all logs unless given')
    .action(async (bundle, files) => (await import('./logs.ts')).logsCommand(bundle, files));

  cvm
    .command('cache')
    .description('list what is cached, or remove it')
    .argument('[action]', '"list" or "prune"', 'list')
    .option('--days <number>', 'prune: what was not used for so many days', '30')
    .action(async (action, options) => (await import('./cache.ts')).cacheCommand(action, options));

  cvm
    .command('doctor')
    .description('check that this machine has what the builder needs')
    .action(async () => (await import('./doctor.ts')).doctorCommand());

  return cvm;
}

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitStatus.ok : exitStatus.usage;
  } else {
    const { openReport } = await import('../report/report.ts');
    process.exitCode = await (await openReport()).fail(error);
  }
}
