import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { exitStatus } from '../host/errors.ts';
import { requireWorkingDirectory } from '../host/working-directory.ts';
import { collect } from './arguments.ts';
import { addBaseCommands } from './base/commands.ts';
import { addDriveCommands } from './drive/commands.ts';
import { addPolicyCommands } from './policy/commands.ts';

/** The `cvm` command. Each subcommand is a file of its own, loaded when it is called. */
function program(): Command {
  const cvm = new Command('cvm')
    .description(
      'Builds confidential VM images, and the reference values by which a key broker releases their keys.',
    )
    .version(packageJson.version)
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .hook('preAction', requireWorkingDirectory);

  cvm
    .command('build')
    .description("build the bundle of a site from FLARE's cc_config file, or those of many sites in one run")
    .argument('[cc_config.yml...]', "the site's configuration; or those of several sites")
    .option('--dev', 'a development bundle: boots anywhere with `cvm boot`, protects nothing')
    .option('--name <name>', "name of the bundle; the startup kit's folder name unless given")
    .option(
      '--project <name|project.yml>',
      "FLARE project, read off the startup kit's path unless given; or FLARE's project.yml: all its sites are built",
    )
    .option(
      '--kits <folder>',
      'with a project.yml: folder prod_NN of the startup kits; the newest unless given',
    )
    .option('--jobs <number>', 'of many sites, how many at once; as the machine has room for unless given')
    .option('--anew', 'of many sites, build also those whose bundle is complete')
    .option(
      '--config <builder.yml>',
      'settings of this builder; the builder.yml beside cvm_build.sh unless given',
    )
    .option('--output <folder>', 'folder that gets target/ and handoff/; the working directory unless given')
    .option('--keep-previous', 'leave earlier images of the same site their right to a key')
    .option('--refresh-base', 'build the base system anew, with the packages of today')
    .option('--accept-firmware <sha256...>', 'take this firmware although its verdict is not "sound"')
    .option('--plan', 'show the tasks and what is cached, and build nothing')
    .action(async (files, options) => (await import('./build.ts')).buildCommand(files, options));

  cvm
    .command('rebuild')
    .description(
      'build an image again from its build record, with another archive, kit, program, …; always with a new disk key',
    )
    .argument('<id|bundle>', 'id of 12 hex digits, folder cvm_<id>, or .tgz')
    .option('--docker-archive <file>', 'another workload')
    .option('--startup-kit <folder>', 'another startup kit')
    .option('--cc-config <file>', 'other settings of the site')
    .option('--kbs-client <file>', "another client of the key broker's")
    .option('--snpguest <file>', 'another snpguest')
    .option('--firmware <file>', 'another OVMF.amdsev.fd')
    .option('--base <image>', 'another base system: a disk image, a tar archive or a squashfs')
    .option('--config <builder.yml>', 'settings of this builder; the recorded ones unless given')
    .option(
      '--fresh <inputs>',
      'take as it is today, not as recorded: cc-config, builder, docker-archive, startup-kit, kbs-client, snpguest, kbs-ca, firmware, base, all; initrd: made anew; commas between',
      collect,
    )
    .option('--refresh-base', 'build the base system anew, with the packages of today')
    .option('--accept-firmware <sha256...>', 'take this firmware although its verdict is not "sound"')
    .option(
      '--handoff <folder>',
      "handoff/, where it is neither beside the bundle's target/ nor in the output folder",
    )
    .option('--keep-id', 'the new image takes the place of the old one: same id, new key, new digests')
    .option('--keep-previous', 'leave the old image, and earlier ones of the same site, their right to a key')
    .option('--plan', 'show which parts change and why, and build nothing')
    .action(async (named, options) => (await import('./rebuild.ts')).rebuildCommand(named, options));

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
    .option(
      '--peer <host:port>',
      'a program that the CVM may connect to, at 10.0.2.101 and the same port; may be repeated',
      collect,
    )
    .option('--timeout <seconds>', 'stop a VM that does not end by itself', '900')
    .action(async (bundle, options) => (await import('./boot.ts')).bootCommand(bundle, options));

  cvm
    .command('measure')
    .description('compute launch digests: of a bundle, or of firmware, kernel, initrd and command line')
    .argument('[bundle]', 'folder cvm_<id>, or .tgz; the options below take the place of what it says')
    .option('--ovmf <file>', 'firmware: a whole OVMF image')
    .option('--ovmf-hash <hex>', "digest of the firmware's own pages (--mode snp:ovmf-hash), to go on from")
    .option('--kernel <file>', 'kernel, a bzImage; without it kernel-hashes=off is measured')
    .option('--initrd <file>', 'initrd')
    .option('--append <text>', 'kernel command line, exactly')
    .option('--vcpus <list>', 'counts of vCPUs, such as 1,2,4-8')
    .option('--cpu <model>', "QEMU's -cpu, 0x<signature> or family/model/stepping; may be repeated", collect)
    .option('--guest-features <number>', 'SEV_FEATURES, such as 0x1; may be repeated', collect)
    .option('--mode <snp|snp:ovmf-hash|seves|sev>', 'which digest', 'snp')
    .option('--vmm <qemu|ec2|gce>', 'who starts the VM', 'qemu')
    .option('--explain', 'show every stage with address, size, type and running digest')
    .option('--json', 'print JSON')
    .option('--rvps', 'print the message that gives a KBS the reference values')
    .option('--id-key <pem>', 'sign an ID block for each digest with this P-384 key')
    .option('--author-key <pem>', 'P-384 key that vouches for the ID key')
    .option('--family-id <hex>', '16 bytes of the ID block')
    .option('--image-id <hex>', '16 bytes of the ID block')
    .option('--guest-svn <number>', 'security version of the ID block')
    .option('--policy <number>', 'guest policy of the ID block (0x30000 unless given)')
    .action(async (bundle, options) =>
      (await import('./measure/command.ts')).measureCommand(bundle, options),
    );

  cvm
    .command('diagnose')
    .description('find out why a launch digest is not the one that was measured')
    .argument('<bundle>', 'folder cvm_<id>, or .tgz')
    .argument('<report|digest>', "snpguest's report.bin, or a digest: 96 hex digits or base64")
    .option('--ovmf <file>', 'firmware that the host may have used; may be repeated', collect)
    .option('--kernel <file>', 'the same for a kernel', collect)
    .option('--initrd <file>', 'the same for an initrd', collect)
    .option('--append <text>', 'the same for a command line', collect)
    .option('--json', 'print JSON')
    .action(async (bundle, subject, options) =>
      (await import('./diagnose.ts')).diagnoseCommand(bundle, subject, options),
    );

  cvm
    .command('verify')
    .description('check that a bundle is what was built and measured, and name what is not')
    .argument('<bundle>', 'folder cvm_<id>, or .tgz')
    .option('--handoff <folder>', "the administrator's handoff/cvm_<id>, to compare the manifest with")
    .option('--key <file>', 'the disk key: open the sealed payload and compare it block by block')
    .option('--directory <folder>', 'policy directory, in place of the one that builder.yml names')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--json', 'print JSON')
    .action(async (bundle, options) => (await import('./verify.ts')).verifyCommand(bundle, options));

  cvm
    .command('inspect')
    .description('show what a bundle holds: site, sizes, ports, workload, packages, launch digests, key path')
    .argument('<bundle>', 'folder cvm_<id>, or .tgz')
    .option('--key <file>', 'the disk key: show what is sealed as well')
    .option('--sbom <spdx|cyclonedx>', 'print a bill of materials: SPDX 2.3 or CycloneDX 1.6, JSON')
    .option('--directory <folder>', 'policy directory, in place of the one that builder.yml names')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--json', 'print JSON')
    .action(async (bundle, options) => (await import('./inspect.ts')).inspectCommand(bundle, options));

  const kbs = cvm.command('kbs').description('key brokers: check one, serve the development one');
  kbs
    .command('serve')
    .description('serve the keys of development bundles (KBS protocol 0.4.0, sample TEE) until interrupted')
    .option('--listen <host:port>', 'address', '127.0.0.1:8999')
    .option('--digest <hex>', 'launch digest that a sample handshake is taken to prove')
    .option('--opa <path>', 'judge by policy.rego itself, with this OPA')
    .option('--era <field|main>', 'release whose answers it gives: v0.14 (field) or v0.21 (main)', 'field')
    .option('--in-memory', 'keep what administrators send in memory only')
    .option('--sample-claims', 'treat sample evidence as the real broker does, not as SEV-SNP')
    .option('--shipped-policy', "judge by the release's own default policy until one is posted")
    .option('--insecure-tokens', 'accept attestation tokens that only their own header vouches for')
    .option('--insecure-api', 'let everybody administer')
    .option(
      '--fault <spec...>',
      'slow=<ms>, 401, 500, drop, drop-answer or stale-nonce; with ,first=<n> and ,path=<pattern>',
    )
    .action(async (options) => (await import('./kbs-serve.ts')).kbsServeCommand(options));

  kbs
    .command('check')
    .description('probe a key broker for what would give keys away; changes nothing there')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--url <address>', 'key broker, in place of the one in builder.yml')
    .option('--ca <pem>', 'its certificate')
    .option('--admin-key <pem>', "administrator's key, for this address")
    .option('--admin-token <file>', "administrator's token, for this address")
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./kbs-check.ts')).kbsCheckCommand(options));

  addBaseCommands(cvm.command('base').description('base systems and firmware: import, build, check'));

  addDriveCommands(cvm.command('drive').description('plain drives of a bundle, without root or mounts'));

  addPolicyCommands(cvm.command('policy').description('registry of images, policy of the key broker'));

  cvm
    .command('logs')
    .description(
      "print the logs on a bundle's applog drive, without mounting it, and explain the codes in them",
    )
    .argument('<bundle>', 'folder cvm_<id>, .tgz, or an applog.qcow2')
    .argument('[file...]', 'names on the drive; all logs unless given')
    .option('--no-explain', 'print the logs alone')
    .action(async (bundle, files, options) =>
      (await import('./logs.ts')).logsCommand(bundle, files, options),
    );

  cvm
    .command('cache')
    .description('list what is cached, or remove it')
    .argument('[action]', '"list" or "prune"', 'list')
    .option('--days <number>', 'prune: what was not used for so many days', '30')
    .action(async (action, options) => (await import('./cache.ts')).cacheCommand(action, options));

  cvm
    .command('doctor')
    .description('check that this machine has what the builder needs, and say what to do where it has not')
    .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
    .option('--offline', 'ask neither the key broker nor the package archives')
    .option('--fix', 'install missing packages by apt-get, as root or by sudo; asks nothing')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./doctor.ts')).doctorCommand(options));

  return cvm;
}

// A reader that has gone (`cvm logs … | head`) is nobody to tell.
process.stdout.on('error', () => {});

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitStatus.ok : exitStatus.usage;
  } else {
    // Commands that show progress report their own failures. The others print what they found, or an error, never both.
    const { renderError } = await import('../report/error.ts');
    const { mayColour } = await import('../report/select.ts');
    const { text, status } = renderError(error, { colour: mayColour(process.stderr, process.env) });
    process.stderr.write(`${text}\n`);

    process.exitCode = status;
  }
}
