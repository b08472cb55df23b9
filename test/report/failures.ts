import { stripVTControlCharacters } from 'node:util';

interface FileReport {
  name?: string;
  status?: string;
  message?: string;
  assertionResults?: { status?: string; fullName?: string; failureMessages?: string[] }[];
}

const linesOfEach = 15;

/**
 * What failed in a vitest run, each with the first lines of what it said: a log of which only the end is kept must
 * tell as much as one that is read whole.
 * @param report the parsed report of vitest's JSON reporter, or undefined where it wrote none
 * @param root folder that file names are shown below
 */
export function failures(report: unknown, root: string): string[] {
  const files = (report as { testResults?: FileReport[] } | undefined)?.testResults;
  if (!Array.isArray(files)) return ['there is no report'];
  return files.flatMap((file) => failuresOf(file, file.name?.replace(`${root}/`, '') ?? '(no name)'));
}

function failuresOf({ status, message = '', assertionResults = [] }: FileReport, name: string): string[] {
  const failed = assertionResults.filter((test) => test.status === 'failed');
  if (failed.length === 0) return status === 'failed' ? [`${name}\n${shortened(message)}`] : [];
  return failed.map(
    ({ fullName = '', failureMessages = [] }) =>
      `${name}: ${fullName.trim()}\n${shortened(failureMessages.join('\n'))}`,
  );
}

function shortened(message: string): string {
  const lines = stripVTControlCharacters(message).trim().split('\n');
  return lines
    .slice(0, linesOfEach)
    .map((line) => `    ${line}`)
    .join('\n');
}
