import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { messageOf } from '../../../host/errors.ts';
import { spawnOptions } from '../../../host/run.ts';
import { workDirectory } from '../../../host/temp.ts';
import type { TokenClaims } from '../attestation-token.ts';
import type { EraPolicy } from '../era/era.ts';
import { Refusal } from '../refusal.ts';
import { asOldEngineReads } from './old-dialect.ts';

/** OPA's report of what is wrong with a policy, on either stream. */
const report = z.object({
  errors: z.array(z.object({ message: z.string(), location: z.object({ row: z.number() }).optional() })),
});

/** What a failed run said, on one line, without the lines that it quotes of the policy. */
function refusal(error: unknown): Refusal {
  const { stdout, stderr, shortMessage } = error as {
    stdout?: string;
    stderr?: string;
    shortMessage?: string;
  };
  const errors = [stderr, stdout].flatMap((text) => {
    try {
      return report.parse(JSON.parse(text ?? '')).errors;
    } catch {
      return [];
    }
  });
  const words = errors.map(({ message, location }) => `line ${location?.row ?? '?'}: ${message}`);
  return new Refusal(
    'PolicyEngine',
    words.slice(0, 4).join('; ') || `opa: ${shortMessage ?? messageOf(error)}`,
  );
}

const dialectFlag = { v0: '--v0-compatible', v1: '--v1-compatible' } as const;

const limits = { timeout: 20_000, maxBuffer: 4 * 2 ** 20 };

/** A policy text as an era's engine reads it. */
function readBy(era: EraPolicy, policy: string): string {
  return era.dialect === 'v0' ? asOldEngineReads(policy) : policy;
}

/**
 * Parses a policy, as the real broker does before it stores one.
 * @param opa path of Open Policy Agent.
 * @throws Refusal `PolicyEngine`
 */
export async function parsePolicy(opa: string, era: EraPolicy, policy: string): Promise<void> {
  await using work = await workDirectory();
  const file = join(work.path, 'policy.rego');
  await writeFile(file, readBy(era, policy));
  try {
    await execa(opa, ['parse', dialectFlag[era.dialect], file], { ...spawnOptions(), ...limits });
  } catch (error) {
    throw refusal(error);
  }
}

/**
 * Evaluates `data.policy.allow`.
 * @param opa path of Open Policy Agent.
 * @returns its value; undefined where it has none.
 * @throws Refusal `PolicyEngine` where the text cannot be evaluated.
 */
export async function evaluate(
  opa: string,
  era: EraPolicy,
  policy: string,
  path: string,
  input: TokenClaims,
): Promise<unknown> {
  await using work = await workDirectory();
  const files = { rego: join(work.path, 'policy.rego'), data: join(work.path, 'data.json') };
  await writeFile(files.rego, readBy(era, policy));
  await writeFile(files.data, JSON.stringify(era.data(path)));
  // Both engines take a failing built-in function for an error; OPA would take it for undefined.
  const strict = ['--strict-builtin-errors', dialectFlag[era.dialect]];
  const args = ['eval', '--format', 'json', '--stdin-input', ...strict];
  const loaded = ['--data', files.rego, '--data', files.data];
  try {
    const { stdout } = await execa(opa, [...args, ...loaded, 'data.policy.allow'], {
      ...spawnOptions({ input: JSON.stringify(input) }),
      ...limits,
    });
    const { result } = JSON.parse(String(stdout)) as { result?: { expressions: { value: unknown }[] }[] };
    return result?.[0]?.expressions[0]?.value;
  } catch (error) {
    throw refusal(error);
  }
}
