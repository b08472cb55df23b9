import { localFirmware } from '../base/index.ts';
import { firmwareOf } from '../build/accept-firmware.ts';
import { knownBase } from '../build/base-of-site.ts';
import { brokerCertificate, knownKeyBroker, programFile } from '../build/key-broker.ts';
import { builderCode } from '../build/record/builder-code.ts';
import { sha256Text } from '../build/record/collect.ts';
import type { BuildSettings } from '../build/settings.ts';
import type { Cache } from '../graph/cache.ts';
import { hasCode, UserError } from '../host/errors.ts';
import { sha256File } from '../host/files.ts';
import { genericPartKeys } from '../initrd/index.ts';

/**
 * What a build would be made from today, as far as the sites of a run share it: SHA-256 in lower-case hex. Undefined where it is not
 * there, or could only be told by making it.
 */
export interface TodaysInputs {
  builderCode: string;
  base: string | undefined;
  firmware: string | undefined;
  kbsClient: string | undefined;
  snpguest: string | undefined;
  kbsCa: string | undefined;
  /** Content keys of the parts of the initrd that sites share. */
  initrdParts: readonly string[] | undefined;
  /** Of a docker archive, which is read once however many sites have it. */
  archive(path: string): Promise<string>;
}

/** Reads all of it; makes and changes nothing. */
export async function todaysInputs(
  settings: BuildSettings,
  cache: Cache,
  signal: AbortSignal,
): Promise<TodaysInputs> {
  const digest = async (path: string | undefined) => path && (await digestOf(path, signal));
  // What cannot be had today is said by the build that needs it.
  const unless = async <T>(found: Promise<T>) =>
    found.catch((error: unknown) => {
      if (error instanceof UserError && !signal.aborted) return undefined;
      throw error;
    });
  const production = settings.kind === 'production';
  const base = await unless(knownBase({ settings, cache }, signal));
  const broker = await unless(knownKeyBroker(settings, signal));
  const firmware = firmwareOf(settings) ?? (await localFirmware({ cache, baseImages: settings.baseImages }));
  const certificate = await unless(brokerCertificate(settings));
  const archives = new Map<string, Promise<string>>();
  return {
    builderCode: await builderCode(),
    base: base?.id,
    firmware: await digest(firmware?.file),
    kbsClient: production ? await digest(programFile(settings, 'kbs-client')) : undefined,
    snpguest: await digest(programFile(settings, 'snpguest')),
    kbsCa: certificate === undefined ? undefined : sha256Text(certificate),
    initrdParts: base && broker && (await genericPartKeys({ base, client: broker.client })),
    archive(path) {
      const known = archives.get(path) ?? sha256File(path, { signal }).then(({ hex }) => hex);
      archives.set(path, known);
      return known;
    },
  };
}

async function digestOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await sha256File(path, { signal })).hex;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}
