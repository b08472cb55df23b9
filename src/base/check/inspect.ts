import { readTemplateList } from '../../host/template.ts';
import {
  type Distribution,
  isAtLeast,
  packageName,
  parseDpkgStatus,
  parseOsRelease,
} from './distribution.ts';
import { architecture, readElf, x86_64 } from './elf.ts';
import { inspectKernel } from './inspect-kernel.ts';
import type { KernelFacts } from './kernel-facts.ts';
import { leftOut } from './left-out.ts';
import { minimumVersions, type Need, requiredFiles } from './programs.ts';
import { BaseTree } from './tree.ts';

/** Something that was looked for and is there. */
export interface Found {
  what: string;
  /** Its package's version, where there is one. */
  version?: string;
}

/** Something that was looked for and is not there, or not as it must be. */
export interface Missing {
  what: string;
  why: string;
  need: Need;
  /** Package of its distribution that brings it; undefined where no package would. */
  package?: string;
}

/** What a base is, has and lacks. */
export interface BaseReport {
  distribution: Distribution;
  found: Found[];
  missing: Missing[];
  /** What is no fault, and good to know: what an image brings that has no effect, what its kernel does. */
  notes: string[];
  /** Undefined where it has no kernel. */
  kernel?: KernelFacts;
}

export interface InspectOptions {
  signal?: AbortSignal | undefined;
  /** Look for what is missing only: no notes, no facts, and half a second less. */
  missingOnly?: boolean;
}

/**
 * Looks at a base, built or imported, in its squashfs; nothing of it is run or unpacked onto the host.
 * @throws UserError where the file is no squashfs.
 */
export async function inspectBase(squashfs: string, options: InspectOptions = {}): Promise<BaseReport> {
  const tree = await BaseTree.open(squashfs, options.signal);
  const osRelease = (await tree.text('/etc/os-release')) || (await tree.text('/usr/lib/os-release'));
  const distribution = parseOsRelease(osRelease);
  const versions = parseDpkgStatus(await tree.text('/var/lib/dpkg/status'));
  const report: BaseReport = { distribution, found: [], missing: [], notes: [] };
  await inspectPrograms(tree, report, versions);
  await inspectKernel(tree, report, options);
  report.missing = report.missing.map((missing) =>
    missing.package === undefined
      ? missing
      : { ...missing, package: packageName(missing.package, distribution) },
  );
  if (options.missingOnly !== true) {
    if (distribution.family === undefined) {
      report.notes.push(`${distribution.name} is neither Debian nor Ubuntu: nobody has tried it as a base`);
    }
    report.notes.push(...(await leftOut(tree)));
  }
  return report;
}

/** Architecture, layout, files, busybox, versions. */
async function inspectPrograms(
  tree: BaseTree,
  { found, missing }: BaseReport,
  versions: ReadonlyMap<string, string>,
): Promise<void> {
  const init = await tree.read('/usr/lib/systemd/systemd');
  const busyboxBytes = await tree.read('/usr/bin/busybox');
  const [elf, busybox] = [init, busyboxBytes].map((bytes) => bytes && readElf(bytes));
  const machine = (elf ?? busybox)?.machine;
  if (machine !== undefined && machine !== x86_64) {
    const what = `programs for amd64 (it has those of ${architecture(machine)})`;
    missing.push({ what, why: 'the CVM is an x86-64 machine', need: 'boot' });
  }
  const unmerged = ['bin', 'sbin', 'lib'].filter((name) => tree.find(`/${name}`)?.path !== `usr/${name}`);
  if (unmerged.length > 0) {
    const what = `/${unmerged.join(', /')} as links into /usr`;
    missing.push({ what, why: 'programs are run by their paths in /usr', need: 'boot', package: 'usrmerge' });
  }
  for (const { package: name, why, files, need = 'boot' } of requiredFiles) {
    const version = versions.get(name);
    for (const what of files) {
      if (tree.hasFile(what)) found.push(version === undefined ? { what } : { what, version });
      else missing.push({ what, why, need, package: name });
    }
  }
  if (busyboxBytes !== undefined && busybox?.machine === x86_64) {
    const why = 'it runs from memory and in the container, where no library is';
    if (!busybox.isStatic) {
      missing.push({ what: 'a static /usr/bin/busybox', why, need: 'boot', package: 'busybox-static' });
    }
    const lacking = (await requiredApplets()).filter((name) => !busyboxBytes.includes(`\0${name}\0`));
    if (lacking.length > 0) {
      const what = `/usr/bin/busybox with ${lacking.join(', ')}`;
      missing.push({ what, why: 'tools of InitApp', need: 'boot', package: 'busybox-static' });
    }
  }
  for (const { package: name, minimum, why } of minimumVersions) {
    const version = versions.get(name);
    if (version === undefined || isAtLeast(version, minimum)) continue;
    missing.push({ what: `${name} ${minimum} or later (it has ${version})`, why, need: 'boot' });
  }
}

/** Tools that the scripts of run-time attestation and of the report service take from busybox, besides InitApp's. */
export const attestationApplets = ['mkfifo', 'timeout', 'xxd'] as const;

async function requiredApplets(): Promise<string[]> {
  const ofInitApp = (await readTemplateList('initrd/applets.txt')).flatMap((line) => line.split(/\s+/));
  return [...ofInitApp, ...attestationApplets];
}
