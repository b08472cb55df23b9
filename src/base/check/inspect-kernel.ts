import { isAtLeast, kernelPackage } from './distribution.ts';
import type { BaseReport, InspectOptions, Missing } from './inspect.ts';
import { missingModules, moduleFile, newestRelease, requiredModules } from './kernel.ts';
import { configNotes, missingOptions, parseKernelConfig } from './kernel-config.ts';
import { factNotes, kernelFacts } from './kernel-facts.ts';
import { readKernelImage } from './kernel-image.ts';
import { moduleFacts } from './module-facts.ts';
import type { BaseTree } from './tree.ts';

/** SEV-SNP guests and their attestation device came with it. */
const minimumKernel = '5.19';

/** Image, modules, their signature, configuration. Adds to the report. */
export async function inspectKernel(
  tree: BaseTree,
  report: BaseReport,
  { signal, missingOnly }: InspectOptions,
): Promise<void> {
  const lack = (what: string, why: string) =>
    report.missing.push({ what, why, need: 'boot', package: kernelPackage } satisfies Missing);
  const release = newestRelease(tree.paths);
  const bytes =
    release === undefined
      ? undefined
      : ((await tree.read('/boot/vmlinuz', 1 << 28)) ??
        (await tree.read(`/boot/vmlinuz-${release}`, 1 << 28)));
  if (release === undefined || bytes === undefined) {
    lack('a kernel with its modules', 'the CVM is started with it');
    return;
  }
  const image = readKernelImage(bytes);
  if (image === undefined) {
    lack('/boot/vmlinuz as a 64-bit bzImage', 'the firmware starts no other');
  } else if (image.release !== release) {
    lack(`modules of the kernel ${image.release} (it has those of ${release})`, 'no other kernel loads them');
  }
  report.found.push({
    what: `kernel ${release}`,
    version: image?.banner.split(' ').slice(1).join(' ') ?? '',
  });
  if (!isAtLeast(release, minimumKernel)) {
    lack(`a kernel of version ${minimumKernel} or later`, 'earlier ones are no SEV-SNP guests');
  }
  await inspectModules(tree, release, lack, report, signal);
  const text =
    (await tree.text('/boot/config')) ||
    (await tree.text(`/boot/config-${release}`)) ||
    (await tree.text(`/usr/lib/modules/${release}/config`));
  const config = text === '' ? undefined : parseKernelConfig(text);
  for (const { option, why, builtIn } of config === undefined ? [] : missingOptions(config)) {
    lack(`a kernel with CONFIG_${option}${builtIn ? '=y' : ''}`, why);
  }
  if (missingOnly) return;
  report.kernel = await kernelFacts(release, image, config, signal);
  if (config === undefined)
    report.notes.push('the configuration of the kernel is not there, so it was not checked');
  else report.notes.push(...configNotes(config));
  report.notes.push(...factNotes(report.kernel));
}

async function inspectModules(
  tree: BaseTree,
  release: string,
  lack: (what: string, why: string) => void,
  report: BaseReport,
  signal?: AbortSignal,
): Promise<void> {
  const folder = tree.find(`/usr/lib/modules/${release}`)?.path ?? `usr/lib/modules/${release}`;
  const paths = tree.paths.filter((path) => path.startsWith(`${folder}/`));
  const missing = missingModules(paths, await tree.text(`${folder}/modules.builtin`));
  for (const name of missing) lack(`kernel module ${name}`, requiredModules[name]!);
  const present = Object.keys(requiredModules).filter((name) => !missing.includes(name));
  if (present.length > 0) report.found.push({ what: `kernel modules ${present.join(', ')}` });
  // The kernel's own modules are signed all or none; one tells.
  const [sample] = Object.keys(requiredModules).flatMap((name) => moduleFile(name, paths) ?? []);
  const found = sample === undefined ? undefined : tree.find(sample);
  if (found?.type === 'file' && !(await moduleFacts(tree.image, found.path, signal)).signed) {
    lack('signed kernel modules', 'under lockdown the kernel loads no others');
  }
}
