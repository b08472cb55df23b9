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

/** Text of launch_vm.sh: `templates/launch_vm.sh` with every value a quoted shell word. */
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
  return fillTemplate(await readTemplate('launch_vm.sh'), values, shellQuote);
}

/** Writes `launch_vm.sh` into a bundle folder, executable. */
export async function writeLaunchScript(folder: string, input: LaunchScriptInput): Promise<void> {
  await writeFile(join(folder, 'launch_vm.sh'), await launchScript(input), { mode: 0o755 });
}
