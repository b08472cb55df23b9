import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { messageOf } from '../../host/errors.ts';
import { spawnOptions } from '../../host/run.ts';
import { workDirectory } from '../../host/temp.ts';
import { digestEncodings } from '../policy/entry.ts';
import type { ImageRecord } from '../registry/record.ts';
import { evidenceOf, type TokenClaims } from './attestation-token.ts';
import { Refusal } from './refusal.ts';

/**
 * The policy's rule in our own words, for machines without a policy engine: the image that owns the path is active,
 * the digest is one of its own, debugging and migration are off.
 */
export function allowedByRecord(image: ImageRecord | undefined, claims: TokenClaims): boolean {
  const { snp } = evidenceOf(claims);
  if (image === undefined || image.status !== 'active' || snp === undefined) return false;
  if (snp.policy_debug_allowed !== false || snp.policy_migrate_ma !== false) return false;
  return image.digests.some(({ hex }) => hex === snp.measurement);
}

/** One release's way of asking a policy. */
interface Era {
  data: (path: string) => unknown;
  measurement: (hex: string) => string;
}

/** Brokers up to v0.16 and from v0.18 on; one policy text must answer both alike. */
const eras: Era[] = [
  {
    data: (path) => ({ 'resource-path': `resource/${path}` }),
    measurement: (hex) => digestEncodings(hex).base64,
  },
  {
    data: (path) => ({ plugin: 'resource', 'resource-path': path.split('/'), query: {} }),
    measurement: (hex) => hex,
  },
];

/**
 * Asks a policy text through Open Policy Agent, once as an old broker and once as a new one does.
 * @param opa path of the program.
 * @throws Refusal `PolicyEngine` where the text cannot be evaluated or the two eras disagree.
 */
export async function allowedByPolicy(
  opa: string,
  policy: string,
  path: string,
  claims: TokenClaims,
): Promise<boolean> {
  await using work = await workDirectory();
  const answers: boolean[] = [];
  for (const [index, era] of eras.entries()) {
    const folder = join(work.path, String(index));
    await mkdir(folder);
    await writeFile(join(folder, 'policy.rego'), policy);
    await writeFile(join(folder, 'data.json'), JSON.stringify(era.data(path)));
    answers.push(await evaluate(opa, folder, withMeasurement(claims, era.measurement)));
  }
  if (answers.some((answer) => answer !== answers[0])) {
    throw new Refusal('PolicyEngine', 'the policy answers older and newer brokers differently');
  }
  return answers[0] === true;
}

function withMeasurement(claims: TokenClaims, encode: (hex: string) => string): TokenClaims {
  const input = structuredClone(claims);
  const { snp } = evidenceOf(input);
  if (snp !== undefined) snp.measurement = encode(String(snp.measurement));
  return input;
}

/** `data.policy.allow`; anything but `true`, also undefined, is a no. */
async function evaluate(opa: string, folder: string, input: TokenClaims): Promise<boolean> {
  const files = ['--data', join(folder, 'policy.rego'), '--data', join(folder, 'data.json')];
  const args = ['eval', '--format', 'json', '--stdin-input', ...files, 'data.policy.allow'];
  try {
    const { stdout } = await execa(opa, args, {
      ...spawnOptions({ input: JSON.stringify(input) }),
      timeout: 20_000,
    });
    const { result } = JSON.parse(String(stdout)) as { result?: { expressions: { value: unknown }[] }[] };
    return result?.[0]?.expressions[0]?.value === true;
  } catch (error) {
    throw new Refusal('PolicyEngine', `opa: ${messageOf(error).split('\n').slice(0, 6).join(' | ')}`);
  }
}
