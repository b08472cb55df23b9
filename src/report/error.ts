import { exitStatus, UserError } from '../host/errors.ts';
import { MeasurementError } from '../measure/index.ts';
import { manyLines, oneLine } from './text.ts';

/** An error for people, and the status to exit with. */
export interface RenderedError {
  /** `error: …`, its details, then `hint: …` where there is one, then the stack of a bug; no newline at the end. */
  text: string;
  status: number;
}

/** Failures of the machine rather than of the program: what to do about each. */
const machineHints: Record<string, string> = {
  ENOSPC: 'free some space there, or choose other output and cache folders',
  EDQUOT: 'the disk quota is used up: free some space, or choose other output and cache folders',
  EROFS: 'the file system is read-only: choose another folder',
  EACCES: 'check the owner and the mode of that file or folder',
  EMFILE: 'raise the limit of open files (ulimit -n)',
};

/**
 * Renders what was thrown: a UserError without its stack, an input that cannot be measured and a failure of the machine
 * likewise, a bug with it.
 */
export function renderError(thrown: unknown, options: { colour?: boolean } = {}): RenderedError {
  const paint = (code: number, text: string) => (options.colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const lines = (message: string, hint: string | undefined, details: readonly string[] = []) => [
    `${paint(31, 'error:')} ${oneLine(message)}`,
    ...details.map(oneLine),
    ...(hint === undefined ? [] : [`${paint(36, 'hint:')} ${oneLine(hint)}`]),
  ];
  if (thrown instanceof UserError) {
    return { text: lines(thrown.message, thrown.hint, thrown.details).join('\n'), status: thrown.status };
  }
  if (thrown instanceof MeasurementError) {
    return { text: lines(thrown.message, undefined).join('\n'), status: exitStatus.failed };
  }
  const machineHint = machineHints[(thrown as NodeJS.ErrnoException | undefined)?.code ?? ''];
  if (thrown instanceof Error && machineHint !== undefined) {
    return { text: lines(thrown.message, machineHint).join('\n'), status: exitStatus.failed };
  }
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  const hint = 'this is a defect of the builder; please report it with the lines below';
  return {
    text: [...lines(message, hint), ...stackOf(thrown)].join('\n'),
    status: exitStatus.failed,
  };
}

/** The call stacks of an error and its causes, without the messages that head them. */
function stackOf(thrown: unknown, depth = 0): string[] {
  if (!(thrown instanceof Error) || depth > 3) return [];
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const cause = thrown.cause instanceof Error ? [`  caused by ${oneLine(String(thrown.cause))}`] : [];
  return [...frames.map((line) => manyLines(line)), ...cause, ...stackOf(thrown.cause, depth + 1)];
}
