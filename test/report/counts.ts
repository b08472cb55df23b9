/** How many tests ended in which way. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** A static check counts as one test. */
export function countCheck(status: number): Counts {
  return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

interface FileReport {
  status?: string;
  assertionResults?: { status?: string }[];
}

/**
 * Counts of one vitest run.
 * @param report the parsed report of vitest's JSON reporter, or undefined where it wrote none
 * @param status vitest's exit status
 *
 * A file that failed without a failed test (it could not be loaded, or a hook threw) counts as one failure. So does a
 * run that failed in any other way, and one that ended well without running a test.
 */
export function countVitest(report: unknown, status: number): Counts {
  const files = (report as { testResults?: FileReport[] } | undefined)?.testResults;
  if (!Array.isArray(files)) return { passed: 0, failed: 1, skipped: 0 };
  const counts = total(files.map(countFile));
  const nothingRan = counts.passed + counts.failed + counts.skipped === 0;
  if (counts.failed === 0 && (status !== 0 || nothingRan)) counts.failed = 1;
  return counts;
}

function countFile({ status, assertionResults = [] }: FileReport): Counts {
  const how = (wanted: (status: string | undefined) => boolean) =>
    assertionResults.filter((test) => wanted(test.status)).length;
  const passed = how((one) => one === 'passed');
  const failed = how((one) => one === 'failed');
  const fileFailed = status === 'failed' && failed === 0;
  return {
    passed,
    failed: fileFailed ? 1 : failed,
    skipped: assertionResults.length - passed - failed,
  };
}

/** The sum. */
export function total(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (sum, each) => ({
      passed: sum.passed + each.passed,
      failed: sum.failed + each.failed,
      skipped: sum.skipped + each.skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}
