import { joinArchives } from './cpio.ts';
import {
  clientsPart,
  developmentPart,
  type ExtraProgram,
  type ProgramsOptions,
  readList,
  systemPart,
} from './programs.ts';

export type { ExtraProgram, ProgramSource } from './programs.ts';
export { type InitSettings, type SitePart, sitePart } from './site-part.ts';

/**
 * The parts that do not depend on the site: system, then the client that asks for the key. A production
 * initrd has the user's kbs-client, a development one the sample client, none has both.
 * @returns paths of compressed cpio archives, in order
 */
export async function genericParts(
  options: ProgramsOptions,
  client: { kind: 'development' } | { kind: 'production'; programs: readonly ExtraProgram[] },
): Promise<string[]> {
  const system = await systemPart(options);
  const own =
    client.kind === 'development'
      ? await developmentPart(options)
      : await clientsPart(options, client.programs);
  return [system, own];
}

/** Joins the generic parts and the site's own into the initrd. */
export async function makeInitrd(
  generic: readonly string[],
  site: string,
  target: string,
  signal?: AbortSignal,
): Promise<void> {
  await joinArchives([...generic, site], target, signal);
}

/** Names of the modules that InitApp loads, a line each. */
export async function moduleList(): Promise<string> {
  return `${(await readList('modules.txt')).join('\n')}\n`;
}
