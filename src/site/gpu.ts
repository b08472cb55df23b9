import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copy } from 'fs-extra/esm';
import { readTemplate, shellVariables, templatePath } from '../host/template.ts';

/** What is sealed about the GPU of a site that has one. */
export interface GpuSettings {
  /** Whether a GPU that is not in confidential-computing mode stops the boot. */
  confidential: boolean;
}

/**
 * Adds to the site layer what brings NVIDIA GPUs into the container: the driver's modules, two units without which the
 * workload does not start, and their scripts. A site without a GPU has none of it.
 * @param home the layer's /usr/lib/cvm, with `units` and `modules` in it
 */
export async function addGpu(home: string, { confidential }: GpuSettings): Promise<void> {
  await mkdir(join(home, 'gpu'), { mode: 0o755 });
  for (const name of ['gpu.sh', 'make-nodes', 'set-ready', 'give-devices', 'ended', 'cdi.jq']) {
    await copy(templatePath(`site/gpu/${name}`), join(home, 'gpu', name));
  }
  await writeFile(
    join(home, 'gpu/settings'),
    shellVariables({ gpu_confidential: confidential ? 'yes' : 'no' }),
  );
  await copy(templatePath('site/gpu/units'), join(home, 'units'));
  // Not by drop-ins: systemd goes on without one that it cannot read.
  for (const unit of ['container.slice', 'cvm-workload.service']) {
    await appendFile(join(home, 'units', unit), `\n${await readTemplate(`site/gpu/${unit}.conf`)}`);
  }
  await appendFile(join(home, 'modules'), await readTemplate('site/gpu/modules.txt'));
}
