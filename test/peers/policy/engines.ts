import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { preparedPeer } from '../peer.ts';

/** One question to a policy. */
export interface Question {
  /** Path of the policy's text. */
  policy: string;
  /** What a key broker tells of the request. */
  data: unknown;
  /** The claims of the attestation token. */
  input: unknown;
}

/**
 * What an engine makes of `data.policy.allow`. `undefined` is never the answer of a key broker up to v0.16, which
 * reports an error in its place; newer ones count it, and `other`, as a denial.
 */
export type Answer = 'true' | 'false' | 'undefined' | 'other' | 'error';

/** An answer and, with an error, the engine's words. */
export interface Answered {
  answer: Answer;
  words?: string;
}

const folder = preparedPeer('policy');
const program = (name: string) =>
  folder !== undefined && existsSync(join(folder, name)) ? join(folder, name) : undefined;

/** The program that asks both versions of regorus; undefined where it could not be built. */
export const regorus = program('cvm-policy-judge');

/** Open Policy Agent; undefined where it could not be installed. */
export const opa = program('opa');

/** Answers of regorus 0.2.8 (`field`) and 0.11.0 (`main`), in the order of the questions. */
export async function askRegorus(
  questions: readonly Question[],
): Promise<{ field: Answered; main: Answered }[]> {
  const input = questions.map((question) => `${JSON.stringify(question)}\n`).join('');
  const { stdout } = await execa(regorus!, { input });
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1));
}

/** Answers of Open Policy Agent, in the order of the questions. */
export async function askOpa(questions: readonly Question[]): Promise<Answered[]> {
  const work = await mkdtemp(join(tmpdir(), 'cvm-opa-'));
  const answers: Answered[] = [];
  try {
    for (const [index, question] of questions.entries()) {
      const data = join(work, `${index}.json`);
      await writeFile(data, JSON.stringify(question.data));
      answers.push(await askOpaOnce(question, data));
    }
  } finally {
    await rm(work, { recursive: true });
  }
  return answers;
}

async function askOpaOnce({ policy, input }: Question, data: string): Promise<Answered> {
  const { stdout, exitCode } = await execa(
    opa!,
    [
      ...['eval', '--format', 'json', '--strict-builtin-errors', '--stdin-input'],
      ...['--data', policy, '--data', data, 'data.policy.allow'],
    ],
    { input: JSON.stringify(input), reject: false },
  );
  const { result, errors } = JSON.parse(stdout) as {
    result?: { expressions: { value: unknown }[] }[];
    errors?: { message: string }[];
  };
  if (errors !== undefined || exitCode !== 0) {
    return { answer: 'error', words: errors?.map(({ message }) => message).join('; ') ?? '' };
  }
  const value = result?.[0]?.expressions[0]?.value;
  if (value === undefined) return { answer: 'undefined' };
  return { answer: typeof value === 'boolean' ? `${value}` : 'other' };
}
