import { removeFromDrive } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { requireOneDrive } from './place.ts';
import { sealedWarning } from './sealed.ts';

/** `cvm drive rm`. */
export async function removeCommand(
  places: readonly string[],
  { recursive = false }: { recursive?: boolean },
): Promise<void> {
  using interruption = handleSignals();
  const { drive, paths } = requireOneDrive(places);
  const warning = sealedWarning(drive);
  if (warning !== undefined) process.stderr.write(`warning: ${warning}\n`);
  const count = await removeFromDrive(drive, paths, { recursive, signal: interruption.signal });
  process.stdout.write(`Removed ${count} ${count === 1 ? 'file or folder' : 'files and folders'}\n`);
}
