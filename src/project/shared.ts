import { stat } from 'node:fs/promises';
import type { BuildSettings } from '../build/settings.ts';
import { shareSettings } from '../build/user-data.ts';
import { build } from '../build.ts';
import { usesGpu } from '../config/index.ts';
import type { Cache } from '../graph/cache.ts';
import type { Listener } from '../graph/events.ts';
import type { Outputs, Task } from '../graph/task.ts';
import type { ProjectSite } from './site.ts';

/** What a site's own build starts from. */
export interface SharedParts {
  /** Outputs of the tasks that sites share. */
  given: ReadonlyMap<Task, unknown>;
  size: SiteSize;
}

/** What building a site writes, in bytes. */
export interface SiteSize {
  /** Work files that hold plaintext, at once. */
  work: number;
  /** The bundle, as a folder and as an archive. */
  bundle: number;
}

/** The parts, or why there are none, for each site. */
export type Prepared = ReadonlyMap<ProjectSite, { parts: SharedParts } | { error: unknown }>;

type Shared = typeof build.shared;

/**
 * Makes what sites share, each once: base, firmware, the layers of each docker archive, the initrd's generic part. Sites that need the same are
 * prepared together; where that fails, only they fail.
 * @throws the signal's reason
 */
export async function prepareShared(
  sites: readonly ProjectSite[],
  { cache, signal, events }: { cache: Cache; signal: AbortSignal; events: Listener },
): Promise<Prepared> {
  const made = new Map<string, unknown>();
  const prepared = new Map<ProjectSite, { parts: SharedParts } | { error: unknown }>();
  let refreshed = false;
  for (const group of Map.groupBy(sites, ({ settings }) => needsOf(settings).all).values()) {
    const { settings } = group[0]!;
    const keys = keysOf(settings);
    const tasks = Object.entries(build.shared) as [keyof Shared, Task][];
    const known = tasks.filter(([name]) => made.has(keys[name]));
    try {
      const outputs = await build.graph.run({
        // The base is brought up to date once.
        options: { settings: { ...settings, refreshBase: settings.refreshBase && !refreshed }, cache },
        targets: build.shared,
        given: new Map(known.map(([name, task]) => [task, made.get(keys[name])])),
        signal,
        events: known.length === tasks.length ? () => {} : events,
      });
      refreshed = true;
      for (const [name] of tasks) made.set(keys[name], outputs[name]);
      const given = new Map(tasks.map(([name, task]) => [task, outputs[name]]));
      const parts = { given, size: await sizeOf(outputs) };
      for (const site of group) prepared.set(site, { parts });
    } catch (error) {
      signal.throwIfAborted();
      for (const site of group) prepared.set(site, { error });
    }
  }
  return prepared;
}

/** What of a site's own settings the shared tasks look at; the rest of them is builder.yml's. */
function needsOf({ site, dockerArchive }: BuildSettings): { base: string; archive: string; all: string } {
  const base = JSON.stringify([usesGpu(site), shareSettings(site).allowed]);
  return { base, archive: dockerArchive, all: `${base} ${dockerArchive}` };
}

function keysOf(settings: BuildSettings): Record<keyof Shared, string> {
  const { base, archive } = needsOf(settings);
  return {
    base: `base ${base}`,
    firmware: 'firmware',
    broker: 'broker',
    workload: `workload ${archive}`,
    genericInitrd: `initrd ${base}`,
  };
}

/** A site's own small files: drives with a startup kit of 60 MiB at most, README, script, manifest. */
const ownBytes = 80 * 2 ** 20;

async function sizeOf({ base, firmware, workload, genericInitrd }: Outputs<Shared>): Promise<SiteSize> {
  const sizes = async (files: readonly string[]) => {
    const found = await Promise.all(files.map(async (file) => (await stat(file)).size));
    return found.reduce((sum, size) => sum + size, 0);
  };
  const sealed = await sizes([base.squashfs, ...workload.layers.map(({ squashfs }) => squashfs)]);
  const boot = (await sizes([base.kernel, ...genericInitrd])) + firmware.parsed.bytes.length;
  // dm-verity's tree takes 1/127 of what is sealed, qcow2's tables less.
  const payload = Math.ceil(sealed * 1.02);
  return { work: Math.ceil(sealed * 1.1) + ownBytes, bundle: 2 * (payload + boot + ownBytes) };
}
