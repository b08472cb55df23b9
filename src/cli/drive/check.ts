import { checkDrive } from '../../drives/index.ts';
import { exitStatus } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { jsonText, oneLine } from '../../report/text.ts';

/** `cvm drive check`. Ends with status 1 where the drive is not sound. */
export async function checkCommand(
  drive: string,
  { repair = false, json }: { repair?: boolean; json?: boolean },
): Promise<void> {
  using interruption = handleSignals();
  const result = await checkDrive(drive, { repair, signal: interruption.signal });
  if (!result.sound) process.exitCode = exitStatus.failed;
  if (json) {
    process.stdout.write(`${jsonText(result, 2)}\n`);
    return;
  }
  // e2fsck quotes names of the drive.
  if (!result.sound || result.repaired)
    for (const line of result.lines) process.stdout.write(`${oneLine(line)}\n`);
  const notes = [
    ...(result.replayed
      ? [repair ? 'its journal was replayed' : 'checked as if its journal were replayed']
      : []),
    ...(result.repaired ? ['repaired'] : []),
  ];
  const verdict = result.sound ? 'The drive is sound' : 'The drive is damaged';
  process.stdout.write(`${[verdict, ...notes].join('; ')}\n`);
}
