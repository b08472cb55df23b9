import { cp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { projectRoot } from '../../src/build/builder-file.ts';
import type { Built } from './built.ts';

/** A copy of the builder in a private folder, for tests to change. @returns its folder */
export async function copyBuilder(work: string): Promise<string> {
  const builder = join(work, 'builder');
  for (const part of ['src', 'templates', 'schemas', 'package.json', 'base_images', 'binaries', 'docs']) {
    await cp(join(projectRoot, part), join(builder, part), { recursive: true });
  }
  await symlink(join(projectRoot, 'node_modules'), join(builder, 'node_modules'));
  return builder;
}

/**
 * Builds a development bundle of the quickstart's site with another docker archive.
 * @param builder folder of {@link copyBuilder}
 * @returns the bundle's folder
 */
export async function buildWith(
  builder: string,
  archive: Buffer,
  { work, built }: { work: string; built: Built },
): Promise<string> {
  const file = join(work, 'image.tar');
  await writeFile(file, archive);
  await cp(built.kit, join(work, 'site-1'), { recursive: true });
  const example = await readFile(join(projectRoot, 'examples/quickstart/cc_site-1.yml'), 'utf8');
  const config = join(work, 'cc_site-1.yml');
  await writeFile(config, example.replace('made/quickstart.tar.gz', file).replace('made/site-1', 'site-1'));
  const output = join(work, 'out');
  await execa(
    process.execPath,
    [join(builder, 'src/cli/main.ts'), 'build', '--dev', '--output', output, config],
    { cwd: work, env: { XDG_STATE_HOME: built.stateHome } },
  );
  const [folder] = (await readdir(join(output, 'target'))).filter((name) => name.startsWith('cvm_'));
  return join(output, 'target', folder!);
}
