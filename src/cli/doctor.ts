import {
  checkGroups,
  installPackages,
  isUsable,
  lookAround,
  packagesToInstall,
  renderJson,
  renderText,
  runChecks,
} from '../doctor/index.ts';
import { exitStatus } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { mayColour } from '../report/select.ts';

export interface DoctorFlags {
  config?: string;
  offline?: boolean;
  fix?: boolean;
  json?: boolean;
}

/** `cvm doctor`: status 1 where a build on this machine would fail. `--fix` was asked for, so it asks nothing more. */
export async function doctorCommand(flags: DoctorFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const look = async () => runChecks(checkGroups, await lookAround(flags), signal);
  let results = await look();
  let fixed = true;
  if (flags.fix) {
    const packages = packagesToInstall(results);
    if (packages.length > 0) {
      fixed = await installPackages(packages, signal);
      results = await look();
    } else process.stderr.write('no package is missing\n');
  }
  const colour = mayColour(process.stdout, process.env);
  const text = flags.json ? renderJson(results) : renderText(checkGroups, results, { colour });
  process.stdout.write(`${text}\n`);
  if (!isUsable(results) || !fixed) process.exitCode = exitStatus.failed;
}
