import { recordOfBundle } from '../build/record/of-bundle.ts';
import { cacheRoot } from '../build/settings.ts';
import { manifestOf, openSource } from '../bundle/index.ts';
import { openCache } from '../graph/cache.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import {
  type BundleSummary,
  cyclonedx,
  type PackageSummary,
  readKeyFile,
  remarkOf,
  spdx,
  summarise,
} from '../inspect/index.ts';
import { readRegistry } from '../kbs/index.ts';
import { bytesText, clip, jsonText, oneLine } from '../report/text.ts';
import { placeOfKind } from './policy/directory.ts';

export interface InspectFlags {
  key?: string;
  sbom?: string;
  directory?: string;
  config?: string;
  json?: boolean;
}

const boms: Readonly<Record<string, (summary: BundleSummary) => object>> = { spdx, cyclonedx };

/** `cvm inspect`: one screen about a bundle. Nothing of the bundle is run; what it holds is printed without control characters. */
export async function inspectCommand(bundle: string, flags: InspectFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const bom = flags.sbom === undefined ? undefined : boms[flags.sbom];
  if (flags.sbom !== undefined && bom === undefined) {
    throw new UserError(`cannot print a bill of materials as ${flags.sbom}: it is spdx or cyclonedx`, {
      status: exitStatus.usage,
    });
  }
  const key = flags.key === undefined ? undefined : await readKeyFile(flags.key);
  await using source = await openSource(bundle, { signal });
  const manifest = await manifestOf(source);
  const { id, kind } = manifest;
  const { directory, handoffFolder } = await placeOfKind(kind, flags);
  const record = (await readRegistry(directory))?.images.find((image) => image.id === id);
  const builtOn = (await recordOfBundle(bundle, manifest, handoffFolder))?.inputs.base;
  const cache = openCache(await cacheRoot());
  const summary = await summarise(source, { key, record, builtOn, cache, signal });
  key?.wipe();
  process.stdout.write(`${print(summary, flags, bom)}\n`);
}

function print(
  summary: BundleSummary,
  { json }: InspectFlags,
  bom: ((summary: BundleSummary) => object) | undefined,
): string {
  if (bom !== undefined) return jsonText(bom(summary), 2);
  return json ? jsonText(inspectionJson(summary), 2) : inspectionText(summary);
}

/** What programs get; absent is what is not known. */
export function inspectionJson({ manifest, record, ...summary }: BundleSummary): object {
  const { id, name, kind, created, builder_version, launch, firmware, kbs, files } = manifest;
  const { role, project, status } = record ?? {};
  return {
    id,
    name,
    kind,
    created,
    builder_version,
    role,
    project,
    status,
    kbs,
    launch,
    firmware,
    files,
    ...summary,
  };
}

/** One screen for people. */
export function inspectionText(summary: BundleSummary): string {
  const { manifest, record, drives, segments, vaultBytes, ports, workload, base } = summary;
  const { id, name, kind, created, builder_version, launch, firmware, kbs } = manifest;
  const bytes = (count: number | undefined) => (count === undefined ? '?' : bytesText(count));
  const rows: (readonly [string, string])[] = [
    ['bundle', `cvm_${id}, ${kind}, built ${created} by version ${builder_version}`],
    ['site', [name, record?.project && `project ${record.project}`].filter(Boolean).join(', ')],
    ['role', record?.role ?? 'not recorded here'],
    ['registry', record === undefined ? 'not registered here' : record.status],
    ['key path', `${kbs.resource} at ${kbs.url}`],
    ...drives.map(
      (drive) =>
        [
          drive.name,
          drive.problem ??
            `${bytes(drive.usedBytes)} used of ${bytes(drive.virtualBytes)}, file ${bytes(drive.fileBytes)}`,
        ] as const,
    ),
    ['sealed', summary.problem ?? segments.map((one) => `${one.name} ${bytes(one.bytes)}`).join(', ')],
    ['vault', `${bytes(vaultBytes)}${summary.vaultIntegrity === false ? ', without integrity' : ''}`],
    ['ports in', portsText(ports?.in)],
    ['ports out', portsText(ports?.out)],
    ['user_data', summary.userDataWritable === true ? 'writable by the workload' : 'read-only'],
    ['plain files', filesText(summary.userConfig.plain, 'not known')],
    ['sealed files', filesText(summary.userConfig.sealed, '--key shows them')],
    ['base', base === undefined ? 'not known' : `${base.id.slice(0, 12)} ${base.origin ?? ''}`.trim()],
    ['base packages', packagesText('base system', summary.basePackages)],
    ['workload', workload === undefined ? 'sealed; --key shows it' : workload.args.join(' ')],
    ...(workload === undefined
      ? []
      : [
          ['  user', `${workload.user.uid}:${workload.user.gid} in ${workload.cwd}`] as const,
          ['  environment', workload.env.join(' ')] as const,
        ]),
    ['its packages', packagesText('image', summary.imagePackages)],
    ['firmware', `${firmware.version ?? firmware.sha256}, ${firmware.verdict}`],
    ['command line', launch.cmdline],
    [
      'CPU',
      `${launch.cpu}, guest features ${launch.guest_features}, ${launch.memory_gib} GiB unless told otherwise`,
    ],
    ...launch.digests.map(({ vcpus, hex }) => [`${vcpus} vCPUs`, hex] as const),
  ];
  return rows.map(([what, text]) => `${what.padEnd(18)} ${clip(oneLine(text), 1000)}`.trimEnd()).join('\n');
}

/** Files of user_config; --json has all their names. */
function filesText(files: readonly string[] | undefined, unknown: string): string {
  if (files === undefined) return unknown;
  return files.length === 0 ? 'none' : `${files.length}: ${files.join(', ')}`;
}

function portsText(ports: readonly number[] | undefined): string {
  if (ports === undefined) return 'not known';
  return ports.length === 0 ? 'none' : ports.join(', ');
}

const doubts: Readonly<Record<PackageSummary['from'], string>> = {
  sealed: '',
  record: ', by the build record; --key proves it',
  cache: ', by a base in the cache with the same kernel and size; --key proves it',
  unknown: '',
};

function packagesText(name: string, summary: PackageSummary): string {
  const { from, packages, distribution } = summary;
  if (from === 'unknown') return remarkOf(name, summary);
  const system =
    distribution === undefined ? '' : ` of ${distribution.id} ${distribution.version ?? ''}`.trimEnd();
  const unread = summary.unread.length === 0 ? '' : `; not read: ${summary.unread.join(', ')}`;
  return `${packages.length}${system}${unread}${doubts[from]}`;
}
