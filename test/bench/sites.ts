/**
 * Benchmark of many sites in one run: what each further one takes, beside what its bytes cost by the tools alone (sites.sh), as many at
 * once. Exit status 1 where the bound is passed. Argument: further sites, 8 unless given.
 */
import { execFileSync } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BuildBench } from '../integration/build/bench.ts';
import { realBase } from '../integration/build/real-base.ts';
import { type Comparison, isWithin, table } from './table.ts';
import { type Timing, timeByTurns } from './timing.ts';

const further = Number(process.argv[2] ?? 8);
const atOnce = availableParallelism();
// The first round is whole, so that the further sites are whole rounds, too.
const few = names(atOnce);
const many = names(atOnce + further);
await using bench = await BuildBench.make();
const text = await readFile(bench.path('cc_site-1.yml'), 'utf8');
for (const name of many) {
  await bench.copyOf('site-1', name);
  await writeFile(bench.path(`cc_${name}.yml`), text.replace('nvflare: site-1', `nvflare: ${name}`));
}
const build = async (sites: readonly string[], output: string) => {
  await rm(bench.path(output), { recursive: true, force: true });
  const files = sites.map((name) => bench.path(`cc_${name}.yml`));
  const options = ['--dev', '--config', bench.path('builder.yml'), '--jobs', String(atOnce), '--anew'];
  const { status, stderr } = await bench.run(['build', ...options, '--output', bench.path(output), ...files]);
  if (status !== 0) throw new Error(stderr);
};

await build(few, 'model');
const model = (await bench.list('model/target')).find((name) => name.startsWith('cvm_'));
const [layer] = await readdir(bench.path('cache/cvm-builder/layer'));
const oneSite = [
  join(import.meta.dirname, 'sites.sh'),
  bench.path(`model/target/${model}`),
  (await realBase()).squashfs,
  bench.path(`cache/cvm-builder/layer/${layer}/layer.squashfs`),
  bench.path(`model/handoff/${model}/disk.key`),
];
const tools = (sites: readonly string[]) => {
  const script = 'rm -rf "$1"; mkdir "$1"; out=$1 jobs=$2; shift 2; xargs -P "$jobs" -I{} "$@" "$out/{}"';
  const args = [bench.path('floor'), String(atOnce), ...oneSite];
  execFileSync('sh', ['-euc', script, 'sh', ...args], { input: sites.join('\n') });
};

const works = {
  ours: () => build(many, 'out'),
  oursFew: () => build(few, 'out'),
  tools: () => tools(many),
  toolsFew: () => tools(few),
};
const times = await timeByTurns(works, { warmUp: 0, rounds: 3 });
const perSite = (all: Timing, first: Timing): Timing => ({
  median: (all.median - first.median) / further,
  min: (all.min - first.min) / further,
});
const comparison: Comparison = {
  ours: [`each of ${further} further sites, ${atOnce} at once`, perSite(times.ours, times.oursFew)],
  other: ['its bytes, by the tools alone', perSite(times.tools, times.toolsFew)],
  bound: 1.3,
};
console.log(table([comparison]));
if (!isWithin(comparison)) process.exitCode = 1;

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `bench-${index + 1}`);
}
