import { copyFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buildFirmware, forgetBuiltFirmware, inspectFirmware } from '../../base/index.ts';
import { cacheRoot } from '../../build/settings.ts';
import { openCache } from '../../graph/cache.ts';
import { exitStatus, messageOf, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { factsText } from './firmware.ts';

export interface FirmwareBuildFlags {
  config?: string;
  output?: string;
  rebuild?: boolean;
  json?: boolean;
}

/** `cvm base firmware build`: status 1 where the result is not the one whose behaviour was tried. */
export async function firmwareBuildCommand(flags: FirmwareBuildFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const cache = openCache(await cacheRoot(flags.config));
  const began = performance.now();
  const progress = (text: string) =>
    void process.stderr.write(`${Math.round((performance.now() - began) / 1000)} s  ${text}\n`);
  if (flags.rebuild) await forgetBuiltFirmware(cache);
  const found = await buildFirmware({ cache, signal, progress });
  const facts = await inspectFirmware(found, { signal });
  if (flags.output !== undefined) {
    const target = resolve(flags.output);
    await copyFile(found.file, target).catch((error: unknown) => {
      throw new UserError(`cannot write ${target}: ${messageOf(error)}`, { cause: error });
    });
  }
  const text = flags.json ? JSON.stringify(facts, undefined, 2) : factsText(facts).join('\n');
  process.stdout.write(`${text}\n`);
  if (facts.verdict === 'sound') return;
  process.exitCode = exitStatus.failed;
  process.stderr.write(
    'warning: this is not the build that was tried: source or tool chain differ. packages.tsv beside the file ' +
      `lists the tool chain. Production bundles take it with accept_firmware: [${facts.sha256}]\n`,
  );
}
