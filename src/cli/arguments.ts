import { exitStatus, UserError } from '../host/errors.ts';

/** A TCP port. @throws UserError naming the option. */
export function portNumber(option: string, text: string): number {
  const port = wholeNumber(option, text);
  if (port <= 65_535) return port;
  throw new UserError(`cannot use ${option} ${JSON.stringify(text)}: the last port is 65535`, {
    status: exitStatus.usage,
  });
}

/** A whole number above 0. @throws UserError naming the option. */
export function wholeNumber(option: string, text: string): number {
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new UserError(`cannot use ${option} ${JSON.stringify(text)}: it is not a whole number above 0`, {
    status: exitStatus.usage,
  });
}

/** For options that may be repeated: a list after one option would swallow the arguments that follow. */
export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}
