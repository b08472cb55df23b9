import { join } from 'node:path';
import { readStartupKit, type StartupKit, treeDigest } from '../drives/index.ts';
import { workDirectory } from '../host/temp.ts';
import type { BuildSettings } from './settings.ts';

/** The startup kit as it is sealed, and its digest for the build record, which is that of what was staged. */
export async function kitOfSite(
  { userConfig, site }: Pick<BuildSettings, 'userConfig' | 'site'>,
  context: { scope: AsyncDisposableStack; signal: AbortSignal; warn: (text: string) => void },
): Promise<StartupKit & { digest: string }> {
  const { scope, signal, warn } = context;
  const work = scope.use(await workDirectory());
  const kit = await readStartupKit({
    folders: userConfig,
    editable: site.userConfigEditable,
    workDirectory: work.path,
    signal,
  });
  kit.warnings.forEach(warn);
  const staged = Object.keys(userConfig).map((name) => [name, join(kit.plainFolder, name)]);
  const digest = await treeDigest(Object.fromEntries(staged), {
    privateFiles: kit.privateFiles.map((path) => ({ path, file: join(kit.privateFolder, path) })),
    signal,
  });
  return { ...kit, digest };
}
