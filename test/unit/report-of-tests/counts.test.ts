import { describe, expect, it } from 'vitest';
import { countCheck, countVitest, total } from '../../report/counts.ts';

const file = (...tests: string[]) => ({
  status: tests.includes('failed') ? 'failed' : 'passed',
  assertionResults: tests.map((status) => ({ status })),
});

describe('countVitest', () => {
  it('adds up the files', () => {
    const report = { testResults: [file('passed', 'failed'), file('passed', 'pending', 'todo', 'skipped')] };
    expect(countVitest(report, 1)).toEqual({ passed: 2, failed: 1, skipped: 3 });
  });

  it('counts a file that could not be loaded as one failure', () => {
    const report = { testResults: [{ status: 'failed', assertionResults: [] }, file('passed')] };
    expect(countVitest(report, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  it('counts a file whose hook threw after its tests passed', () => {
    const report = { testResults: [{ status: 'failed', assertionResults: [{ status: 'passed' }] }] };
    expect(countVitest(report, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  it('never calls a run good that ended badly, wrote no report or ran nothing', () => {
    expect(countVitest({ testResults: [file('passed')] }, 1).failed).toBe(1);
    expect(countVitest(undefined, 0).failed).toBe(1);
    expect(countVitest({}, 0).failed).toBe(1);
    expect(countVitest({ testResults: [] }, 0).failed).toBe(1);
  });
});

it('counts a static check as one test', () => {
  expect(total([countCheck(0), countCheck(2)])).toEqual({ passed: 1, failed: 1, skipped: 0 });
});
