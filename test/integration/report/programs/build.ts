/**
 * A build without disks, reported as the real one is: `build.ts <mode> [file]`.
 * Modes: `ok`; `fail`; `bug`; `noisy` says far more than may be written; `wait` runs until `file` exists.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { graph } from '../../../../src/graph/graph.ts';
import { UserError } from '../../../../src/host/errors.ts';
import { handleSignals } from '../../../../src/host/signals.ts';
import { openReport } from '../../../../src/report/report.ts';

const [mode = 'ok', file = ''] = process.argv.slice(2);
using interruption = handleSignals();
const report = await openReport();
const g = graph<void>();

const base = g.task('base', {
  title: 'Base system',
  run: (ctx) => {
    ctx.note('made of 200 packages');
    ctx.usedCache();
  },
});
const workload = g.task('workload', {
  title: 'Workload',
  run: async (ctx) => {
    if (mode === 'noisy') {
      for (let index = 0; index < 5000; index++) {
        ctx.warn(`layer ${index} holds a device node, which was left out`);
        ctx.note('x'.repeat(1000));
        ctx.progress({ done: index, total: 5000, unit: 'layers' });
      }
    }
    while (mode === 'wait' && !existsSync(file)) await sleep(20, undefined, { signal: ctx.signal });
    ctx.warn('a device node was left out');
  },
});
const others = Array.from({ length: mode === 'noisy' ? 300 : 0 }, (_, index) =>
  g.task(`layer-${index}`, { title: `Layer ${index}`, run: () => {} }),
);
const seal = g.task('seal', {
  title: 'Root drive',
  needs: { base, workload, ...Object.fromEntries(others.map((task) => [task.name, task])) },
  run: () => {
    if (mode === 'fail') throw new UserError('cannot seal the root drive: no space', { hint: 'free 2 GiB' });
    if (mode === 'bug') throw new TypeError('x is not a function');
  },
});
const bundle = g.task('bundle', { title: 'Bundle', needs: { seal }, run: () => '/srv/target/site-1.tgz' });

try {
  const result = await g.run({
    options: undefined,
    targets: { bundle },
    signal: interruption.signal,
    events: report.events,
  });
  await report.result(`CVM Bundle ${result.bundle} is ready`);
} catch (error) {
  process.exitCode = await report.fail(error);
}
