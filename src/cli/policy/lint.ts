import { resolve } from 'node:path';
import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { findRegoEngine, formatFinding, lintFile, policyPath, readPolicy } from '../../kbs/policy/index.ts';
import { oneLine } from '../../report/text.ts';
import { commandPlace, type DirectoryFlags } from './directory.ts';

export interface LintFlags extends DirectoryFlags {
  json?: boolean;
}

/** `cvm policy lint [FILE]`: status 1 where anything is to be refused, 0 with warnings only. */
export async function lintCommand(named: string | undefined, flags: LintFlags): Promise<void> {
  using interruption = handleSignals();
  const { directory, policyOptions } = await commandPlace(flags);
  const file = named ?? policyPath(directory);
  const text = await readPolicy(resolve(file));
  if (text === undefined) {
    throw new UserError(`cannot read the policy ${file}: there is no such file`, {
      status: exitStatus.usage,
    });
  }
  const engine = findRegoEngine(policyOptions.opa);
  const findings = await lintFile(file, text, {
    minTcb: policyOptions.minTcb,
    engine,
    signal: interruption.signal,
  });
  if (flags.json) process.stdout.write(`${JSON.stringify({ file, findings }, null, 2)}\n`);
  else {
    for (const finding of findings) {
      process.stdout.write(`${oneLine(formatFinding(file, finding))}\n  hint: ${oneLine(finding.remedy)}\n`);
    }
    if (findings.length === 0) process.stdout.write(`${oneLine(file)}: nothing to object to\n`);
  }
  if (findings.some(({ severity }) => severity === 'refuse')) process.exitCode = exitStatus.failed;
}
