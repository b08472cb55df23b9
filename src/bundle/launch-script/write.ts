import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fillTemplate, readTemplate, shellQuote } from '../../host/template.ts';
import type { Manifest } from '../manifest.ts';

/** What the launch script is made of. The measured part is the manifest's own, so the two cannot differ. */
export interface LaunchScriptInput {
  id: Manifest['id'];
  kind: Manifest['kind'];
  launch: Pick<Manifest['launch'], 'cmdline' | 'cpu' | 'policy' | 'vcpus' | 'memory_gib'>;
  /** TCP ports of this host that lead to the same ports of the VM, under user networking. */
  allowedPorts: readonly number[];
  /** Whether the VM may write to the user_data drive. */
  userDataWritable: boolean;
}

/** Text of launch_vm.sh: `templates/launch_vm.sh` and its parts in one, with every value a quoted shell word. */
export async function launchScript(input: LaunchScriptInput): Promise<string> {
  const { id, kind, launch, allowedPorts, userDataWritable } = input;
  const values = {
    ID: id,
    KIND: kind,
    CPU: launch.cpu,
    POLICY: launch.policy,
    CMDLINE: launch.cmdline,
    VCPUS: launch.vcpus,
    MEMORY: `${launch.memory_gib}G`,
    ALLOWED_PORTS: allowedPorts,
    USER_DATA_READONLY: userDataWritable ? 'off' : 'on',
  };
  return fillTemplate(await wholeTemplate(), values, shellQuote);
}

/** The template with the text of each part in place of the two lines that name it, for shellcheck and for the shell. */
async function wholeTemplate(): Promise<string> {
  const lines = /^# shellcheck source=templates\/(launch_vm\/\w+\.sh)\n\. \1\n/gm;
  const template = await readTemplate('launch_vm.sh');
  const names = [...template.matchAll(lines)].map((match) => match[1]!);
  const texts = await Promise.all(names.map(readTemplate));
  const parts = new Map(names.map((name, index) => [name, texts[index]!]));
  return template.replace(lines, (_, name: string) =>
    parts.get(name)!.replace(/^# shellcheck shell=bash\n/, ''),
  );
}

/** Writes `launch_vm.sh` into a bundle folder, executable. */
export async function writeLaunchScript(folder: string, input: LaunchScriptInput): Promise<void> {
  await writeFile(join(folder, 'launch_vm.sh'), await launchScript(input), { mode: 0o755 });
}
