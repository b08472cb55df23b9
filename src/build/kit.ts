import { measureFolder, readStartupKit, type StartupKit } from '../drives/index.ts';
import { workDirectory } from '../host/temp.ts';
import type { BuildSettings } from './settings.ts';

/** What is staged at least: the kit of FLARE, bytes. */
const leastBytes = 64 * 2 ** 20;

/** The startup kit as it is sealed. */
export async function kitOfSite(
  { userConfig, site, builder }: Pick<BuildSettings, 'userConfig' | 'site' | 'builder'>,
  context: { scope: AsyncDisposableStack; signal: AbortSignal; warn: (text: string) => void },
): Promise<StartupKit> {
  const { scope, signal, warn } = context;
  let bytes = leastBytes;
  // A folder that cannot be read is the matter of who reads it in earnest.
  for (const folder of Object.values(userConfig))
    bytes += await measureFolder(folder).then(
      (found) => found.bytes,
      () => 0,
    );
  const work = scope.use(await workDirectory({ bytes }));
  const kit = await readStartupKit({
    folders: userConfig,
    editable: site.userConfigEditable,
    plain: builder.userConfigPlain,
    workDirectory: work.path,
    signal,
  });
  kit.warnings.forEach(warn);
  return kit;
}

/** The files of user_config, in two parts. */
export type SplitKit = Pick<StartupKit, 'plainFiles' | 'sealedFiles'>;

/** One line: how many files whoever runs the host can read, and how many not. */
export function kitText({ plainFiles, sealedFiles }: SplitKit): string {
  const count = ({ length }: readonly string[]) => `${length} ${length === 1 ? 'file' : 'files'}`;
  return `user_config: ${count(plainFiles)} plain, ${count(sealedFiles)} sealed`;
}
