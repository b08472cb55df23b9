import { UserError } from '../host/errors.ts';
import { writePolicy } from '../kbs/index.ts';
import { policyPlace } from './policy-place.ts';
import { automaticAccess, pushImages } from './push.ts';
import type { BuildSettings } from './settings.ts';

/** Whether a build ends with a push: of a production bundle, where builder.yml knows the way. */
export async function pushesAfterBuild(settings: BuildSettings): Promise<boolean> {
  return settings.kind === 'production' && (await automaticAccess(settings, settings.binaries)) !== undefined;
}

/**
 * Pushes policy, this build's key, and the reference values of all images. A push that fails fails the build's command, but takes
 * nothing back: the key may be at the key broker already, and pushing again does no harm.
 * @throws UserError
 */
export async function pushBuilt(
  settings: BuildSettings,
  { folder, handoff }: { folder: string; handoff: string },
  report: { signal: AbortSignal; note(text: string): void; warn(text: string): void },
): Promise<void> {
  const access = await automaticAccess(settings, settings.binaries);
  if (access === undefined) throw new Error('the build is not to push');
  const { directory, policyOptions } = policyPlace(settings.kind, settings, settings.handoffFolder);
  const { signal, note, warn } = report;
  try {
    await pushImages({
      access,
      settings: settings.builder.kbs,
      policyDirectory: directory,
      policy: () => writePolicy(directory, { ...policyOptions, signal }),
      keyFolders: [handoff],
      acceptInsecure: settings.builder.kbs.acceptInsecure,
      signal,
      note,
      warn,
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, details, status, hint } = error;
    const again = `the bundle ${folder} and its hand-off are complete: \`cvm policy push\` tries again`;
    throw new UserError(message, {
      details: hint === undefined ? details : [...details, hint],
      status,
      hint: again,
      cause: error,
    });
  }
}
