import { type Manifest, recordedFiles } from '../bundle/index.ts';
import type { Secret } from '../host/secret.ts';
import {
  addImage,
  type ImageRecord,
  readRegistry,
  withdrawImage,
  writeHandoff,
  writePolicy,
} from '../kbs/index.ts';
import { policyPlace } from './policy-place.ts';
import type { BuildSettings } from './settings.ts';

/** What was handed over, until the build's last step has succeeded. */
export interface HandedOver {
  policyFile: string;
  /** Leaves registry and policy as they were before. */
  undo(): Promise<void>;
}

/**
 * Hands key, digests and policy entry to the administrator's side: `handoff/cvm_<id>`, the registry, policy.rego.
 * Development bundles go to a registry and policy of their own. What fails on the way leaves no trace.
 */
export async function handOver(
  settings: BuildSettings,
  manifest: Manifest,
  to: { handoff: string; key: Secret },
  report: { signal: AbortSignal; note(text: string): void; warn(text: string): void },
): Promise<HandedOver> {
  const record = imageRecord(settings, manifest);
  const { keyFile } = await writeHandoff(to.handoff, { record, key: to.key });
  const registered = settings.kind === 'development' ? { ...record, keyFile } : record;
  const { directory, policyOptions } = policyPlace(settings.kind, settings, settings.handoffFolder);
  const { keepPrevious, replaces } = settings;
  const { signal } = report;
  // A policy that would be refused is found out before the registry changes.
  await writePolicy(directory, { ...policyOptions, signal });
  const { superseded } = await addImage(directory, registered, {
    keepPrevious,
    rebuiltFrom: replaces?.id,
    signal,
  });
  const undo = async () => {
    await withdrawImage(directory, manifest.id, superseded);
    await writePolicy(directory, policyOptions);
  };
  try {
    const policy = await writePolicy(directory, { ...policyOptions, signal });
    for (const warning of policy.warnings) report.warn(warning);
    for (const note of policy.notes) report.note(note);
    if (
      replaces !== undefined &&
      !keepPrevious &&
      (await readRegistry(directory))?.images.every(({ id }) => id !== replaces.id)
    ) {
      report.warn(
        `image ${replaces.id}, which this one was built from, is not in the registry of ${directory}: retire it where it is`,
      );
    }
    if (superseded.length > 0) report.note(`supersedes ${superseded.join(', ')}: retired in the registry`);
    return { policyFile: policy.path, undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

/** What the administrator's side keeps of an image. */
export function imageRecord(
  settings: Pick<BuildSettings, 'project'> & { site: Pick<BuildSettings['site'], 'role'> },
  manifest: Manifest,
): ImageRecord {
  const { project, site } = settings;
  return {
    id: manifest.id,
    name: manifest.name,
    ...(project === undefined ? {} : { project }),
    ...(site.role === undefined ? {} : { role: site.role }),
    resourcePath: manifest.kbs.resource,
    digests: manifest.launch.digests.map(({ vcpus, cpu, guest_features, hex }) => ({
      vcpus,
      cpu,
      guestFeatures: guest_features,
      firmwareSha256: manifest.firmware.sha256,
      hex,
    })),
    files: recordedFiles(manifest),
    builtAt: manifest.created,
    status: 'active',
    kind: manifest.kind,
  };
}
