import type { Command } from 'commander';
import { collect } from '../arguments.ts';

/** Each works on a policy directory: builder.yml's, a named one, or that of the development images. */
export function addPolicyCommands(policy: Command): void {
  const add = (name: string, description: string) =>
    policy
      .command(name)
      .description(description)
      .option('--config <builder.yml>', 'settings; the builder.yml beside cvm_build.sh unless given')
      .option('--directory <folder>', 'policy directory, in place of the one in builder.yml')
      .option('--dev', 'the development images');
  const opa = ['--opa <path>', 'Open Policy Agent; the one in builder.yml or on PATH unless given'] as const;

  add('list', 'list the images that have a right to a key')
    .option('--all', 'retired ones, too')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./list.ts')).listCommand(options));
  add('show', 'show all that is known of one image')
    .argument('<id>', 'id, or its beginning')
    .option('--json', 'print JSON')
    .action(async (id, options) => (await import('./show.ts')).showCommand(id, options));
  add('retire', "take an image's right to its key away, and the key from the key broker")
    .argument('<id>', 'id, or its beginning')
    .option(...opa)
    .option('--accept-insecure-kbs', 'push the policy also where keys could be had by forging')
    .action(async (id, options) => (await import('./retire.ts')).retireCommand(id, options));
  add('test', 'run the policy with made-up claims for one image')
    .argument('<id>', 'id, or its beginning')
    .option(...opa)
    .option('--json', 'print JSON')
    .action(async (id, options) => (await import('./test.ts')).testCommand(id, options));
  add('lint', 'find what is dangerous or dead in a policy')
    .argument('[file]', "the policy directory's policy.rego unless given")
    .option(...opa)
    .option('--json', 'print JSON')
    .action(async (file, options) => (await import('./lint.ts')).lintCommand(file, options));
  add('adopt', "take over the rules of an older builder: into the registry, out of the policy's text")
    .argument('[file]', "the policy directory's policy.rego unless given")
    .option('--resource <path>', 'resource path of the key, where one image is taken over')
    .option(
      '--map <prefix=path>',
      'resource path of the image whose digest begins so; may be repeated',
      collect,
    )
    .option('--yes', 'do it without asking')
    .option(...opa)
    .action(async (file, options) => (await import('./adopt.ts')).adoptCommand(file, options));
  add('push', 'bring the key broker up to date: policy, keys, reference values')
    .option('--handoff <folder...>', 'where keys lie; handoff/ of the output folder unless given')
    .option('--dry-run', 'show each request, send nothing')
    .option('--accept-insecure-kbs', 'push also where keys could be had by forging')
    .action(async (options) => (await import('./push.ts')).policyPushCommand(options));
}
