import { mountDrive } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { sealedWarning } from './sealed.ts';

/** `cvm drive mount`: until Ctrl-C, which is how it ends well. */
export async function mountCommand(
  drive: string,
  folder: string,
  { write = false }: { write?: boolean },
): Promise<void> {
  using interruption = handleSignals();
  const warning = write ? sealedWarning(drive) : undefined;
  if (warning !== undefined) process.stderr.write(`warning: ${warning}\n`);
  const mode = write ? 'for reading and writing' : 'read-only';
  const mounted = () => process.stdout.write(`Mounted ${mode} at ${folder}; Ctrl-C unmounts it\n`);
  await mountDrive(drive, folder, { write, mounted, signal: interruption.signal });
  process.stdout.write('Unmounted\n');
}
