import type { constants } from 'node:os';
import { execa, type Options, type ResultPromise } from 'execa';
import { messageOf, UserError } from './errors.ts';
import { findTool, searchPath, type ToolName, tools } from './tools.ts';

/** Options of {@link run}, a narrow view of execa's. */
export interface RunOptions {
  /** Aborts the process (SIGTERM, then SIGKILL after five seconds). */
  signal?: AbortSignal | undefined;
  /** Working directory. */
  cwd?: string;
  /** Bytes for standard input; closed otherwise. Secrets go through here, never through arguments. */
  input?: Uint8Array | string;
  /** An open file as standard input. */
  stdin?: number;
  /** Variables added to the rebuilt environment. Never a secret. */
  env?: Record<string, string>;
  /** Run under `fakeroot`, so that files made or packed belong to 0:0. */
  fakeroot?: boolean;
  /** Kill the tool (not its children) when this process ends, even by SIGKILL. It gets a session of its own, so Ctrl-C is ours to pass on. */
  endWithParent?: 'SIGTERM' | 'SIGKILL';
  /** Hint for the user where the tool fails. */
  hint?: string;
}

/** What every child process gets: nothing of the caller's environment but what tools need. */
function rebuiltEnvironment(extra: Record<string, string> = {}): Record<string, string> {
  const kept: Record<string, string> = { PATH: searchPath(), LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  for (const name of ['HOME', 'TMPDIR', 'XDG_RUNTIME_DIR']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return { ...kept, ...extra };
}

/** Execa options shared by every start of a tool. */
export function spawnOptions(options: RunOptions = {}) {
  return {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.input === undefined
      ? { stdin: (options.stdin as 0 | undefined) ?? ('ignore' as const) }
      : { input: options.input }),
    env: rebuiltEnvironment(options.env),
    extendEnv: false,
    forceKillAfterDelay: 5000,
    stripFinalNewline: true,
  } satisfies Options;
}

/** A command line that can be pasted into a shell. */
export function shellLine(command: string, args: readonly string[]): string {
  const quote = (word: string) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
  return [command, ...args].map(quote).join(' ');
}

/**
 * Starts a tool and returns execa's process, for callers that stream.
 * Standard input is closed unless `input` is given or `stdin` is set by `extra`.
 */
export function start<Extra extends Options>(
  name: ToolName,
  args: readonly string[],
  options: RunOptions = {},
  extra: Extra = {} as Extra,
): ResultPromise {
  const path = findTool(name);
  const [command, all] = options.fakeroot ? [findTool('fakeroot'), ['--', path, ...args]] : [path, [...args]];
  if (options.endWithParent !== undefined) {
    all.unshift('--pdeathsig', options.endWithParent.slice(3), '--', command);
    return execa(findTool('setpriv'), all, {
      ...spawnOptions(options),
      detached: true,
      ...extra,
    } as Options) as unknown as ResultPromise;
  }
  return execa(command, all, { ...spawnOptions(options), ...extra } as Options) as unknown as ResultPromise;
}

/**
 * Runs a tool to its end and returns its standard output.
 * @throws UserError *cannot <purpose>: <tool> …*, with the tool's last words and the command line.
 */
export async function run(
  name: ToolName,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  try {
    const { stdout } = await start(name, args, options);
    return String(stdout ?? '');
  } catch (error) {
    throw toolError(name, args, error, options);
  }
}

interface ToolFailure {
  exitCode?: number;
  signal?: keyof typeof constants.signals;
  isCanceled?: boolean;
  stderr?: unknown;
  stdout?: unknown;
}

/** Turns execa's error into a sentence. An abort by the caller's signal is rethrown as its reason. */
export function toolError(
  name: ToolName,
  args: readonly string[],
  error: unknown,
  options: RunOptions = {},
): Error {
  if (error instanceof UserError) return error;
  const failure = error as ToolFailure;
  if (failure.isCanceled && options.signal?.aborted) return options.signal.reason as Error;
  const how =
    failure.signal !== undefined
      ? `was killed by ${failure.signal}`
      : failure.exitCode !== undefined
        ? `ended with status ${failure.exitCode}`
        : messageOf(error);
  const words = [failure.stderr, failure.stdout]
    .map((text) => (typeof text === 'string' ? text.trim() : ''))
    .find((text) => text !== '');
  const lastWords = words === undefined ? '' : `: ${words.split('\n').slice(-3).join(' | ')}`;
  return new UserError(`cannot ${tools[name].purpose}: ${name} ${how}${lastWords}`, {
    hint: options.hint ?? `the command was: ${shellLine(name, args)}`,
    cause: error,
  });
}
