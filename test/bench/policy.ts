/**
 * Benchmark of the generated policy with 1 to 1,000 images: `policy.ts [<cvm-policy-judge>]`. Exit status 1 where a
 * bound is passed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTemplate } from '../../src/host/template.ts';
import { policyPath, writePolicy } from '../../src/kbs/policy/policy.ts';
import { fillPolicy } from '../../src/kbs/policy/text.ts';
import { registryPath } from '../../src/kbs/registry/registry.ts';
import { storeRegistry } from '../../src/kbs/registry/registry-file.ts';
import { digestOf, imageOf } from '../unit/kbs/records.ts';
import { timeByTurns } from './timing.ts';

const [judge] = process.argv.slice(2);
const counts = [1, 10, 100, 1000] as const;
const rounds = 41;
const template = await readTemplate('policy.rego');
const imagesOf = (count: number) => Array.from({ length: count }, (_, index) => imageOf(index + 1));

const row = (what: string, cells: readonly string[]) =>
  `${what.padEnd(52)}${cells.map((cell) => cell.padStart(12)).join('')}`;
const milliseconds = (value: number) => `${value.toFixed(3)} ms`;
const verdict = (isWithin: boolean) => (isWithin ? 'within' : 'over');

/** Writing the policy of 1,000 images, as a build does after each change: text, lock, file. Under a second. */
async function generation(): Promise<boolean> {
  const bound = 1000;
  const folder = mkdtempSync(join(tmpdir(), 'cvm-bench-'));
  try {
    const images = imagesOf(1000);
    await storeRegistry(registryPath(folder), { version: 1, kind: 'production', images }, undefined);
    const works = {
      text: () => fillPolicy(template, images),
      file: async () => {
        rmSync(policyPath(folder), { force: true });
        await writePolicy(folder);
      },
    };
    const { text, file } = await timeByTurns(works, { warmUp: 2, rounds: 9 });
    console.log(row('1,000 images', ['median', 'min']));
    console.log(row('  the text alone', [milliseconds(text.median), milliseconds(text.min)]));
    const within = file.median < bound;
    const cells = [milliseconds(file.median), milliseconds(file.min)];
    console.log(`${row('  registry to policy.rego', cells)}   bound ${bound} ms: ${verdict(within)}\n`);
    return within;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Times {
  load: number[];
  first: number[];
  again: number[];
}

/** A request for the key of the image in the middle, as newer key brokers ask. */
function requests(folder: string): string {
  const lines = counts.map((count) => {
    const policy = join(folder, `${count}.rego`);
    writeFileSync(policy, fillPolicy(template, imagesOf(count)));
    const number = Math.ceil(count / 2);
    const snp = {
      measurement: digestOf(`image ${number}`),
      policy_debug_allowed: false,
      policy_migrate_ma: false,
    };
    const data = { plugin: 'resource', 'resource-path': imageOf(number).resourcePath.split('/'), query: {} };
    const input = { submods: { cpu0: { 'ear.veraison.annotated-evidence': { snp } } } };
    return JSON.stringify({ policy, data, input });
  });
  return `${lines.join('\n')}\n`;
}

/**
 * What one request costs a key broker, which makes a new engine for each: reading the policy, which grows with the
 * text, and the answer. The bound is on the answer: how many times as long it may take with 1,000 images as with one.
 */
function evaluation(program: string): boolean {
  const bound = 1.5;
  const folder = mkdtempSync(join(tmpdir(), 'cvm-bench-'));
  try {
    mkdirSync(folder, { recursive: true });
    const output = execFileSync(program, ['time', String(rounds)], {
      input: requests(folder),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    const times = JSON.parse(output.trim().split('\n').at(-1)!) as Record<'field' | 'main', Times>[];
    const verdicts = (['field', 'main'] as const).map((engine) => {
      const minima = (part: keyof Times) => times.map((each) => Math.min(...each[engine][part]) / 1e6);
      const name = engine === 'field' ? 'regorus 0.2.8' : 'regorus 0.11.0';
      console.log(row(`${name}, fastest of ${rounds} rounds, images:`, counts.map(String)));
      console.log(row('  reading the policy (grows with its text)', minima('load').map(milliseconds)));
      console.log(row('  the first answer of a new engine', minima('first').map(milliseconds)));
      const again = minima('again');
      console.log(row('  a further answer: evaluation alone', again.map(milliseconds)));
      const ratio = again.at(-1)! / again[0]!;
      const within = ratio <= bound;
      console.log(
        `    evaluation, 1,000 images to 1: ${ratio.toFixed(2)}   bound ${bound}: ${verdict(within)}\n`,
      );
      return within;
    });
    return verdicts.every(Boolean);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

let isWithin = await generation();
if (judge === undefined) console.log('NOT RUN: evaluation; there is no policy engine to measure');
else isWithin = evaluation(judge) && isWithin;
process.exitCode = isWithin ? 0 : 1;
