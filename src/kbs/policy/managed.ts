import type { ImageRecord } from '../registry/record.ts';
import { diffLines } from './diff.ts';
import type { LintFinding } from './lint/finding.ts';

/**
 * Compares the managed part of a policy with what the registry makes of it: every line that was edited by hand, is
 * missing or belongs to a retired image is one finding.
 * @param firstLine the line of the file that the present part begins in.
 */
export function compareManaged(
  present: string,
  expected: string,
  firstLine: number,
  images: readonly ImageRecord[],
): LintFinding[] {
  const findings: LintFinding[] = [];
  const found = (line: number, message: string) => {
    const remedy =
      'cvm policy list shows the images; the next build or "cvm policy retire" writes this part anew';
    findings.push({ severity: 'refuse', rule: 'managed-changed', line, column: 1, message, remedy });
  };
  const split = (text: string) => text.replace(/\r?\n$/, '').split('\n');
  let line = firstLine;
  const removed: { line: number; text: string }[] = [];
  for (const { kind, lines } of diffLines(split(present), split(expected))) {
    if (kind === '-') {
      for (const text of lines) removed.push({ line: line++, text });
      continue;
    }
    if (kind === '+') {
      for (const [index, text] of lines.entries()) {
        const there = removed[index];
        if (there !== undefined)
          found(there.line, `${what(there.text, images)}; the registry has ${shown(text)}`);
        else found(line, `this line is missing: ${shown(text)}`);
      }
      removed.splice(0, lines.length);
      continue;
    }
    for (const { line: at, text } of removed.splice(0)) found(at, what(text, images));
    line += lines.length;
  }
  for (const { line: at, text } of removed) found(at, what(text, images));
  return findings;
}

/** What a line is that the registry does not have. */
function what(text: string, images: readonly ImageRecord[]): string {
  const owner = images.find(
    ({ id, resourcePath }) => text.includes(`# image ${id} `) || text.includes(`"${resourcePath}"`),
  );
  if (owner?.status === 'retired') return `the entry of image ${owner.id}, which is retired`;
  return `edited by hand: ${shown(text)}`;
}

function shown(text: string): string {
  const line = text.trim();
  return line === '' ? 'an empty line' : line.length > 120 ? `${line.slice(0, 117)}...` : line;
}
