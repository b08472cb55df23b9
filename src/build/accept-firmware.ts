import { writeFile } from 'node:fs/promises';
import { type FoundFirmware, verdictOf } from '../base/index.ts';
import { exitStatus, messageOf, UserError } from '../host/errors.ts';
import { type Firmware, type FirmwareVerdict, readFirmware } from '../measure/index.ts';
import type { BuildSettings } from './settings.ts';

/** Firmware that this build may ship. */
export interface AcceptedFirmware {
  parsed: Firmware;
  /** Where it was found. */
  file: string;
  verdict: FirmwareVerdict;
  origin: string;
  /** It is used at the administrator's word, not on its verdict. */
  accepted: boolean;
  /** Writes the bytes that were judged and are measured, whatever the file they came from holds by now. */
  writeTo(file: string): Promise<void>;
}

/**
 * Judges the firmware: the launch digest promises only what the firmware enforces. A production build stops at
 * anything but "sound", unless the administrator accepted that very file by its SHA-256.
 * @throws UserError where it is not accepted.
 */
export async function acceptFirmware(
  found: FoundFirmware,
  settings: Pick<BuildSettings, 'kind' | 'acceptFirmware'>,
  report: { signal: AbortSignal; note(text: string): void; warn(text: string): void },
): Promise<AcceptedFirmware> {
  const parsed = await readFirmware(found.file).catch((error: unknown) => {
    throw new UserError(messageOf(error), {
      hint: 'it must be an AmdSev build of OVMF, whole: OVMF.amdsev.fd',
      cause: error,
    });
  });
  const verdict = await verdictOf(parsed, { signal: report.signal });
  const accepted = verdict.verdict !== 'sound' && settings.acceptFirmware.includes(parsed.sha256);
  report.note(`OVMF.amdsev.fd from ${found.origin}: verdict ${verdict.verdict} (${verdict.reason})`);
  if (verdict.verdict !== 'sound') {
    const text = `firmware ${parsed.sha256} is ${verdict.verdict}: ${verdict.reason}`;
    if (settings.kind === 'production' && !accepted) {
      throw new UserError(`cannot build a production bundle: ${text}`, {
        hint: `\`cvm base firmware build\` makes sound firmware; or take this one at your own word: --accept-firmware ${parsed.sha256}, or accept_firmware in builder.yml`,
        status: exitStatus.usage,
      });
    }
    if (accepted) report.warn(`${text}; accepted by its SHA-256`);
    else report.warn(text);
  }
  return {
    parsed,
    file: found.file,
    verdict,
    origin: found.origin,
    accepted,
    writeTo: (file) => writeFile(file, parsed.bytes),
  };
}

/** The firmware that a rebuild was told to take, or took before; undefined where a build looks for it. */
export function firmwareOf({ firmwareFile }: Pick<BuildSettings, 'firmwareFile'>): FoundFirmware | undefined {
  return firmwareFile === undefined ? undefined : { file: firmwareFile, origin: firmwareFile };
}
