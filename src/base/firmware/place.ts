import { templatePath } from '../../host/template.ts';

/** Name of the firmware file, wherever it lies. */
export const fileName = 'OVMF.amdsev.fd';

/** Cache kind of firmware that was fetched or built. An entry holds the file and `origin`, a line for people. */
export const cacheKind = 'firmware';

/** Folder with what sound firmware is built by: patches, list of packages, build.sh. */
export const recipeFolder = (): string => templatePath('firmware');

/** Where OVMF.amdsev.fd was found. */
export interface FoundFirmware {
  /** The firmware file. */
  file: string;
  /** For people: `base_images/`, `package ovmf-amdsev 2026.08+ds-2 (forky)`, … */
  origin: string;
}
