/** Adds up what `test/run` ran and prints the closing line: `summary.ts <folder> <kind>:<name>:<status>…`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Counts, countCheck, countVitest, total } from './counts.ts';
import { failures } from './failures.ts';

const [folder = '.', ...outcomes] = process.argv.slice(2);

function countOf(outcome: string): Counts {
  const [kind, name, status] = outcome.split(':');
  if (kind === 'check') return countCheck(Number(status));
  return countVitest(readReport(join(folder, `${name}.json`)), Number(status));
}

function readReport(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

const counts = outcomes.map(countOf);
for (const [index, outcome] of outcomes.entries()) {
  if (counts[index]!.failed === 0) continue;
  const [kind, name] = outcome.split(':');
  console.error(`\nfailed: ${name}`);
  if (kind === 'vitest') {
    for (const failure of failures(readReport(join(folder, `${name}.json`)), process.cwd()))
      console.error(failure);
  }
}
const { passed, failed, skipped } = total(counts);
// Static checks alone must not pass for a test run whose tests were all skipped.
const vitest = total(counts.filter((_, index) => outcomes[index]!.startsWith('vitest:')));
const testsRan = vitest.skipped === 0 || vitest.passed + vitest.failed > 0;
process.exitCode = failed === 0 && passed > 0 && testsRan ? 0 : 1;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
