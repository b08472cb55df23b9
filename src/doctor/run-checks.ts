import { messageOf, UserError } from '../host/errors.ts';
import type { Check, CheckGroup, Outcome, Result } from './check.ts';
import type { Situation } from './situation.ts';

/** Checks at work at once: most start a program. */
const atOnce = 8;
const defaultTimeLimit = 20_000;

/**
 * Runs all checks and returns what they found, in the groups' order. None can stop the others: what fails, or takes longer
 * than its time, is a problem of its own.
 * @throws the signal's reason, where that is aborted.
 */
export async function runChecks(
  groups: readonly CheckGroup[],
  situation: Situation,
  signal: AbortSignal,
): Promise<Result[]> {
  const all = groups.flatMap((group) => group.checks.map((check) => ({ group, check })));
  const results: Result[] = new Array(all.length);
  const waiting = all.entries();
  const worker = async () => {
    for (const [index, { group, check }] of waiting) {
      const outcome = await outcomeOf(check, situation, signal);
      results[index] = { id: check.id, group: group.id, title: check.title, ...outcome };
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

async function outcomeOf(check: Check, situation: Situation, signal: AbortSignal): Promise<Outcome> {
  signal.throwIfAborted();
  const limit = check.timeLimit ?? defaultTimeLimit;
  const own = new AbortController();
  const either = AbortSignal.any([signal, own.signal]);
  // What a check started may outlive the abort; nobody waits for it.
  const stopped = Promise.withResolvers<never>();
  either.addEventListener('abort', () => stopped.reject(either.reason), { once: true });
  const timer = setTimeout(() => own.abort(new Error('out of time')), limit);
  try {
    return await Promise.race([check.run({ situation, signal: either }), stopped.promise]);
  } catch (error) {
    signal.throwIfAborted();
    if (own.signal.aborted) {
      return {
        status: 'problem',
        says: `no answer within ${limit / 1000} s`,
        hint: 'see what keeps it busy',
      };
    }
    if (!(error instanceof UserError))
      return { status: 'problem', says: `cannot be checked: ${messageOf(error)}` };
    const { message, hint, details } = error;
    return {
      status: 'problem',
      says: message,
      ...(hint === undefined ? {} : { hint }),
      ...(details.length === 0 ? {} : { details }),
    };
  } finally {
    clearTimeout(timer);
  }
}
