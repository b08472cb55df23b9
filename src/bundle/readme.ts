import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fillTemplate, plainText, readTemplate } from '../host/template.ts';
import type { Manifest } from './manifest.ts';

const columns = 78;

/** What the README tells: a manifest before its `files` are known, because README.txt is one of them. */
export type ReadmeInput = Omit<Manifest, 'files' | 'schema_version'> & { allowedPorts: readonly number[] };

/**
 * Text of README.txt, for the operator of the host at the site. At most 78 columns, but for digests, which stand on one line to be
 * copied and compared.
 */
export async function readme(input: ReadmeInput): Promise<string> {
  const { launch, firmware, kbs } = input;
  const values = {
    TITLE: `Confidential VM of ${input.name}`,
    BANNER: input.kind === 'development' ? developmentBanner : '',
    NAME: input.name,
    ID: input.id,
    KIND: input.kind,
    CREATED: input.created,
    BUILDER: input.builder_version,
    RESOURCE: kbs.resource,
    KBS: kbs.url,
    LAUNCH: input.kind === 'development' ? developmentLaunch : productionLaunch(input),
    CPU: launch.cpu,
    FEATURES: launch.guest_features,
    POLICY: launch.policy,
    DIGESTS: launch.digests.map(({ vcpus, hex }) => `  ${vcpus} vCPUs\n${hex}`).join('\n'),
    CMDLINE: wrap(launch.cmdline, '  '),
    FIRMWARE: firmwareText(firmware),
  };
  return fillTemplate(await readTemplate('README.txt'), values, plainText);
}

/** Writes `README.txt` into a bundle folder. */
export async function writeReadme(folder: string, input: ReadmeInput): Promise<void> {
  await writeFile(join(folder, 'README.txt'), await readme(input), { mode: 0o644 });
}

const stars = '*'.repeat(columns);
const developmentBanner = `
${stars}
**  DEVELOPMENT BUNDLE: FOR TRYING THINGS OUT, NOT FOR DATA.                **
**  It starts without a confidential processor, and nothing in it is kept   **
**  from the host. A production key broker never gives it a key.            **
${stars}
`;

const developmentLaunch = `A development bundle is booted with the builder itself, on any machine:

    ./launch_vm.sh --dev

which runs \`cvm boot\` on this folder. Where cvm is not on PATH, CVM=PATH in
the environment names it: bin/cvm in the builder's folder.
`;

function productionLaunch({ launch, allowedPorts }: ReadmeInput): string {
  const [first, ...others] = launch.vcpus;
  const choice =
    others.length === 0
      ? `The VM has ${first} vCPUs; no other count was measured.`
      : `The VM has ${first} vCPUs unless another measured count is asked for with -c: ${launch.vcpus.join(', ')}.`;
  const ports =
    allowedPorts.length === 0
      ? 'No port of this host leads into the VM.'
      : `These TCP ports of this host lead into the VM: ${allowedPorts.join(', ')}. With --forward HOST:GUEST another of this host leads to one of them. With --net bridge:NAME the VM stands on a bridge instead.`;
  const text = `${choice} It has ${launch.memory_gib} GiB of memory unless -m says otherwise. ${ports}`;
  return `The host needs an AMD processor with SEV-SNP switched on, Linux 6.11 or later
and QEMU 9.1 or later. Then:

    ./launch_vm.sh

${wrap(text)}

    ./launch_vm.sh --help       all choices
    ./launch_vm.sh --dry-run    shows the QEMU command line
    ./launch_vm.sh --gpu auto   with the NVIDIA GPUs that vfio-pci holds

It checks this machine and the measured files first, and says what to do about
what is wrong. It needs no root where you may open /dev/kvm, /dev/sev and the
drives. Ctrl-A X stops the VM. Only one VM at a time can use the drives of a
bundle.
`;
}

function firmwareText({ sha256, version, verdict, reason, accepted }: ReadmeInput['firmware']): string {
  const name = version === undefined ? 'Firmware of unknown version' : version;
  const meaning = {
    sound: 'starts only what the launch digest covers',
    weak: 'can start more than the launch digest covers, so a correct digest proves less than it should',
    unknown: 'was not examined, so a correct digest may prove less than it should',
  }[verdict];
  const because = verdict === 'sound' || reason === '' ? '' : ` Reason: ${reason}.`;
  const byWhom = accepted ? ' The administrator accepted it by its SHA-256.' : '';
  return `${wrap(`${name}: ${verdict}. It ${meaning}.${because}${byWhom}`)}\nSHA-256\n${sha256}`;
}

/** Breaks a text at blanks into lines of at most 78 columns. A longer word has a line of its own. */
export function wrap(text: string, indent = ''): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > columns) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(indent + line);
  return lines.join('\n');
}
