import { launchDigestsOf, readRegistry, registryPath } from '../../kbs/index.ts';
import { commandPlace, type DirectoryFlags } from './directory.ts';
import { table } from './table.ts';

export interface ListFlags extends DirectoryFlags {
  /** Retired images as well. */
  all?: boolean;
  json?: boolean;
}

/** `cvm policy list`: the images of the registry, in the order they were added. */
export async function listCommand(flags: ListFlags): Promise<void> {
  const { directory } = await commandPlace(flags);
  const registered = (await readRegistry(directory))?.images ?? [];
  const images = flags.all ? registered : registered.filter(({ status }) => status === 'active');
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(images, null, 2)}\n`);
    return;
  }
  if (images.length > 0) {
    const head = ['ID', 'NAME', 'PROJECT', 'ROLE', 'STATUS', 'RESOURCE PATH', 'BUILT', 'DIGESTS'];
    const rows = images.map((image) => {
      const { id, name, project = '-', role = '-', status, resourcePath, adopted } = image;
      const built = adopted === undefined ? day(image.builtAt) : `adopted ${day(adopted.at)}`;
      return [id, name, project, role, status, resourcePath, built, String(launchDigestsOf(image).length)];
    });
    process.stdout.write(table([head, ...rows]));
  }
  const retired = registered.filter(({ status }) => status === 'retired').length;
  const counts = `${registered.length - retired} active, ${retired} retired`;
  process.stdout.write(
    `${counts}${flags.all || retired === 0 ? '' : ' (--all)'}, in ${registryPath(directory)}\n`,
  );
}

const day = (time: string) => time.slice(0, 10);
