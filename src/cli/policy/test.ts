import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { findRegoEngine, policyPath, readPolicy, tryPolicy } from '../../kbs/policy/index.ts';
import { commandPlace, type DirectoryFlags } from './directory.ts';
import { findImage } from './image.ts';
import { table } from './table.ts';

export interface TestFlags extends DirectoryFlags {
  json?: boolean;
}

/** `cvm policy test ID`: asks policy.rego as it is about one image; status 0 only where every answer is right. */
export async function testCommand(id: string, flags: TestFlags): Promise<void> {
  using interruption = handleSignals();
  const { directory, policyOptions } = await commandPlace(flags);
  const { minTcb, opa } = policyOptions;
  const { registry, image } = await findImage(directory, id);
  const path = policyPath(directory);
  const text = await readPolicy(path);
  if (text === undefined) throw new UserError(`cannot test image ${image.id}: there is no ${path}`);
  const engine = findRegoEngine(opa);
  if (engine === undefined) {
    throw new UserError(`cannot test image ${image.id}: no "opa" is on PATH`, {
      hint: 'install Open Policy Agent (go install github.com/open-policy-agent/opa@latest), or name it with --opa',
      status: exitStatus.usage,
    });
  }
  const { signal } = interruption;
  const cases = await tryPolicy(text, [image], registry.images, { engine, minTcb, signal });
  const wrong = cases.filter(({ allowed, expected }) => allowed !== expected).length;
  if (flags.json) {
    const answers = cases.map(({ title, era, allowed, expected }) => ({ title, era, allowed, expected }));
    process.stdout.write(`${JSON.stringify({ id: image.id, ok: wrong === 0, cases: answers }, null, 2)}\n`);
  } else {
    const word = (allowed: boolean) => (allowed ? 'allowed' : 'denied');
    const rows = cases.map(({ title, era, allowed, expected }) => [
      allowed === expected ? 'ok' : 'WRONG',
      word(allowed),
      allowed === expected ? '' : `should be ${word(expected)}`,
      era,
      title,
    ]);
    process.stdout.write(table([['', 'ANSWER', '', 'KEY BROKERS', 'REQUEST'], ...rows]));
    process.stdout.write(`${cases.length - wrong} of ${cases.length} answers are right\n`);
  }
  if (wrong > 0) process.exitCode = exitStatus.failed;
}
