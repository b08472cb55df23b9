/**
 * A process that changes registries, for tests that run several at once and kill some: standard input has an
 * {@link Assignment} a line, standard output a {@link Report} for each thing that happened, written at once.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { writePolicy } from '../../../src/kbs/policy/policy.ts';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import { addImage, lockPolicyDirectory, retireImage } from '../../../src/kbs/registry/registry.ts';

/** A change of a registry; `hold` takes its lock and keeps it until the process is killed. */
export type Operation = { add: ImageRecord } | { retire: string } | 'hold';

/** Operations to do in a directory, one after the other, the policy written after each. */
export interface Assignment {
  directory: string;
  operations: readonly Operation[];
}

/** `changed` tells the outcome of one operation before its policy is written. */
export type Report =
  | { changed: Outcome }
  | { policy: 'written' | 'failed'; words?: string }
  | { ended: true };

export type Outcome = { superseded: string[] } | 'retired' | 'held' | { refused: string };

const report = (what: Report) => writeSync(1, `${JSON.stringify(what)}\n`);

async function outcomeOf(directory: string, operation: Operation): Promise<Outcome> {
  try {
    if (operation === 'hold') {
      await lockPolicyDirectory(directory);
      return 'held';
    }
    if ('add' in operation) return await addImage(directory, operation.add);
    await retireImage(directory, operation.retire);
    return 'retired';
  } catch (error) {
    return { refused: String(error) };
  }
}

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { directory, operations }: Assignment = JSON.parse(line);
    for (const operation of operations) {
      report({ changed: await outcomeOf(directory, operation) });
      if (operation === 'hold') await delay(600_000);
      try {
        await writePolicy(directory);
        report({ policy: 'written' });
      } catch (error) {
        report({ policy: 'failed', words: String(error) });
      }
    }
    report({ ended: true });
  }
}
