import { exitStatus, UserError } from '../../host/errors.ts';
import { type ImageRecord, type Registry, readRegistry, registryPath } from '../../kbs/index.ts';

/**
 * Finds the registered image that an id, or the beginning of one, names.
 * @throws UserError where there is no registry, no such image, or several.
 */
export async function findImage(
  directory: string,
  id: string,
): Promise<{ registry: Registry; image: ImageRecord }> {
  const wanted = id.toLowerCase().replace(/^cvm_/, '');
  const cannot = (cause: string, hint: string) =>
    new UserError(`cannot find image ${JSON.stringify(id)}: ${cause}`, { hint, status: exitStatus.usage });
  const registry = await readRegistry(directory);
  if (registry === undefined) {
    throw cannot(
      `there is no ${registryPath(directory)}`,
      'name the policy directory with --directory, or give --dev',
    );
  }
  const fitting = registry.images.filter((image) => wanted !== '' && image.id.startsWith(wanted));
  const [image, ...more] = fitting;
  if (image === undefined) {
    throw cannot(`no id in ${registryPath(directory)} begins so`, '"cvm policy list --all" shows them all');
  }
  if (more.length > 0) {
    const ids = fitting.slice(0, 8).map((each) => each.id);
    throw cannot(
      `${fitting.length} ids begin so`,
      `give more of it: ${ids.join(', ')}${more.length > 7 ? ', …' : ''}`,
    );
  }
  return { registry, image };
}
