import { resolve } from 'node:path';
import { completeBase, type ImportSource, importBase, inspectBase, missingLine } from '../../base/index.ts';
import { cacheRoot } from '../../build/settings.ts';
import { type Cache, openCache } from '../../graph/cache.ts';
import { graph } from '../../graph/graph.ts';
import { handleSignals } from '../../host/signals.ts';
import { templatePath } from '../../host/template.ts';
import { openReport } from '../../report/report.ts';

export interface ImportFlags {
  kernel?: string;
  replayJournal?: boolean;
  /** Add the packages that it lacks. */
  install?: boolean;
  config?: string;
}

interface ImportOptions extends ImportSource {
  cache: Cache;
  replayJournal: boolean;
  install: boolean;
}

const single = graph<ImportOptions>();
const task = single.task('import', {
  title: 'Base system',
  run: async ({ options, ...context }) => {
    const { base, fromCache } = await importBase({ ...options, ...context });
    if (fromCache) context.usedCache();
    const { cache, install } = options;
    const { signal, progress } = context;
    if (install) {
      return (await completeBase({ cache, base, recipe: templatePath('base'), signal, progress })) ?? base;
    }
    const { missing } = await inspectBase(base.squashfs, { signal, missingOnly: true });
    for (const item of missing) context.warn(`it lacks ${missingLine(item)}`);
    if (missing.some((item) => item.package !== undefined)) {
      context.note('the same with --install adds what packages can add');
    }
    return base;
  },
});

/** `cvm base import`: fills the cache, so that the next build with this file finds its base there. */
export async function importCommand(file: string, flags: ImportFlags): Promise<void> {
  using interruption = handleSignals();
  const report = await openReport();
  try {
    const cache = openCache(await cacheRoot(flags.config));
    const options = {
      file: resolve(file),
      kernel: flags.kernel,
      cache,
      replayJournal: flags.replayJournal ?? false,
      install: flags.install ?? false,
    };
    const request = { options, targets: { base: task }, signal: interruption.signal };
    const { base } = await single.run({ ...request, events: report.events });
    report.note(
      `kernel ${base.kernelRelease}; set base.image: ${options.file} in builder.yml, or put it into base_images`,
    );
    await report.result(`Base ${base.id} is ready`);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}
