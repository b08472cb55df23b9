import { resolve } from 'node:path';
import { type ImportSource, importBase } from '../../base/index.ts';
import { cacheRoot } from '../../build/settings.ts';
import { type Cache, openCache } from '../../graph/cache.ts';
import { graph } from '../../graph/graph.ts';
import { handleSignals } from '../../host/signals.ts';
import { openReport } from '../../report/report.ts';

export interface ImportFlags {
  kernel?: string;
  replayJournal?: boolean;
  config?: string;
}

interface ImportOptions extends ImportSource {
  cache: Cache;
  replayJournal: boolean;
}

const single = graph<ImportOptions>();
const task = single.task('import', {
  title: 'Base system',
  run: async ({ options, ...context }) => {
    const { base, fromCache } = await importBase({ ...options, ...context });
    if (fromCache) context.usedCache();
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
