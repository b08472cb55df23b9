import { exitStatus, UserError } from '../../../host/errors.ts';
import type { Fault } from './fault.ts';

const kinds: readonly Fault['kind'][] = ['slow', '401', '500', 'drop', 'drop-answer', 'stale-nonce'];

/**
 * Reads a fault off the command line: `<kind>[,first=<n>][,path=<regular expression>]`, the path last because it may
 * hold commas. Examples: `slow=500`, `401,first=2`, `drop-answer,first=1,path=^POST .*resource/`.
 * @throws UserError
 */
export function parseFault(text: string): Fault {
  const match = /^([\w-]+)(?:=(\d{1,6}))?(?:,first=(\d{1,6}))?(?:,path=(.+))?$/.exec(text);
  const kind = kinds.find((name) => name === match?.[1]);
  if (match === null || kind === undefined || (kind === 'slow') !== (match[2] !== undefined)) {
    throw new UserError(`cannot use the fault ${JSON.stringify(text)}`, {
      hint: 'slow=<ms>, 401, 500, drop, drop-answer or stale-nonce; then ,first=<n>; then ,path=<regular expression>',
      status: exitStatus.usage,
    });
  }
  return {
    kind,
    ...(match[2] !== undefined && { milliseconds: Number(match[2]) }),
    ...(match[3] !== undefined && { first: Number(match[3]) }),
    ...(match[4] !== undefined && { path: pattern(text, match[4]) }),
  };
}

function pattern(text: string, source: string): RegExp {
  try {
    return new RegExp(source);
  } catch (cause) {
    throw new UserError(`cannot use the fault ${JSON.stringify(text)}: its path is no regular expression`, {
      status: exitStatus.usage,
      cause,
    });
  }
}
