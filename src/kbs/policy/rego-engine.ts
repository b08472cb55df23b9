import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { UserError } from '../../host/errors.ts';
import { spawnOptions } from '../../host/run.ts';
import { workDirectory } from '../../host/temp.ts';
import { which } from '../../host/tools.ts';

/** How long the engine may take, milliseconds. */
const limit = 20_000;

/** Path of Open Policy Agent: the one that is named, else the one on PATH, else undefined. */
export function findRegoEngine(named?: string): string | undefined {
  return named ?? which('opa');
}

/** One question to a policy. `data` is laid over what the policy finds below `data`. */
export interface RegoCase {
  input: unknown;
  data: Readonly<Record<string, unknown>>;
}

interface EngineAnswer {
  result?: { expressions: { value: unknown }[] }[];
}

/**
 * Asks a policy `data.policy.allow` for each case, all in one run of the engine, since starting it takes longer than
 * answering. An error of a function is an error, as it is for a key broker.
 * @returns for each case whether the answer was `true`; undefined and every other value is a no.
 * @throws UserError where the policy cannot be evaluated, with the engine's words.
 */
export async function askPolicy(
  engine: string,
  policy: string,
  cases: readonly RegoCase[],
  signal?: AbortSignal,
): Promise<boolean[]> {
  await using work = await workDirectory({ bytes: policy.length * 2 + cases.length * 4096 });
  const file = (name: string) => join(work.path, name);
  await writeFile(file('policy.rego'), policy);
  await writeFile(file('harness.rego'), harnessFor(cases));
  await writeFile(file('cases.json'), JSON.stringify({ cvm_builder_cases: cases }));
  const files = ['policy.rego', 'harness.rego', 'cases.json'].flatMap((name) => ['--data', file(name)]);
  const args = [
    'eval',
    '--format',
    'json',
    '--strict-builtin-errors',
    ...files,
    'data.cvm_builder_harness.allowed',
  ];
  const answer = (await start(engine, args, signal)) as EngineAnswer;
  const value = answer.result?.[0]?.expressions[0]?.value;
  if (!Array.isArray(value)) throw engineError(engine, 'it gave no answer');
  const allowed = new Set<unknown>(value);
  return cases.map((_, index) => allowed.has(index));
}

/** A module that asks once for each shape of `data` among the cases: `with` can replace a document, not remove it. */
function harnessFor(cases: readonly RegoCase[]): string {
  const shapes = new Map(
    cases.map(({ data }) => [JSON.stringify(Object.keys(data).sort()), Object.keys(data).sort()]),
  );
  const rules = [...shapes].map(([shape, names]) => {
    const replaced = names.map(
      (name) => ` with data[${JSON.stringify(name)}] as case.data[${JSON.stringify(name)}]`,
    );
    return [
      'allowed contains number if {',
      '\tsome number, case in data.cvm_builder_cases',
      `\tjson.marshal(sort(object.keys(case.data))) == ${JSON.stringify(shape)}`,
      `\tdata.policy.allow == true with input as case.input${replaced.join('')}`,
      '}',
    ].join('\n');
  });
  return ['package cvm_builder_harness', 'import rego.v1', ...rules, ''].join('\n\n');
}

/** What the engine says against a text, with its place. */
export interface EngineFault {
  line: number;
  column: number;
  message: string;
}

interface CheckAnswer {
  errors?: { message?: string; location?: { row?: number; col?: number } }[];
}

/**
 * Checks a text for syntax, unknown names and unsafe variables, as Rego before version 1 and as version 1: a key
 * broker may read it as either.
 */
export async function checkWithEngine(
  engine: string,
  text: string,
  signal?: AbortSignal,
): Promise<EngineFault[]> {
  await using work = await workDirectory({ bytes: text.length * 2 });
  const file = join(work.path, 'policy.rego');
  await writeFile(file, text);
  const faults: EngineFault[] = [];
  for (const mode of ['--v0-compatible', '--v1-compatible']) {
    const answer = (await start(engine, ['check', '--format', 'json', mode, file], signal)) as CheckAnswer;
    for (const { message = 'it is refused', location } of answer.errors ?? []) {
      const fault = { line: location?.row ?? 1, column: location?.col ?? 1, message };
      const known = faults.some(({ line, message: other }) => line === fault.line && other === message);
      if (!known) faults.push(fault);
    }
  }
  return faults;
}

/** Runs the engine and reads its answer; errors that it reports as JSON come back where there is no result. */
async function start(engine: string, args: readonly string[], signal?: AbortSignal): Promise<unknown> {
  const { stdout, stderr, exitCode, failed, isCanceled, timedOut, originalMessage } = await execa(
    engine,
    args,
    {
      ...spawnOptions({ signal }),
      timeout: limit,
      reject: false,
    },
  );
  if (isCanceled && signal?.aborted) throw signal.reason;
  const json = (text: unknown) => {
    try {
      return JSON.parse(String(text)) as unknown;
    } catch {
      return undefined;
    }
  };
  const answer = json(stdout) ?? json(stderr);
  if (!failed && (answer !== undefined || exitCode === 0)) return answer ?? {};
  if (args[0] === 'check' && answer !== undefined) return answer;
  const errors = (answer as CheckAnswer | undefined)?.errors?.map(({ message, location }) =>
    location?.row === undefined ? message : `line ${location.row}: ${message}`,
  );
  const silent = timedOut ? `it took over ${limit / 1000} s` : (originalMessage ?? `status ${exitCode}`);
  const words = errors?.join(' | ') ?? (String(stderr ?? '').trim() || silent);
  throw engineError(engine, words);
}

function engineError(engine: string, words: string): UserError {
  const cause = words.split('\n').slice(0, 6).join(' | ');
  return new UserError(`cannot ask the policy engine ${engine}: ${cause}`, {
    hint: 'it must be Open Policy Agent 0.59 or newer',
  });
}
