import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { projectRoot } from '../../src/build/builder-file.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { built } from './built.ts';
import { useFolder, type Vm } from './harness.ts';

const quickstart = join(projectRoot, 'examples/quickstart');

/** The quickstart's image as an OCI layout `oci`, its tag `changed` with one more layer made by umoci. */
export async function ociLayout() {
  const work = await workDirectory();
  const layout = join(work.path, 'oci');
  const archive = join(work.path, 'quickstart.tar');
  const plain = await execa('gzip', ['-dc', join(quickstart, 'made/quickstart.tar.gz')], {
    encoding: 'buffer',
  });
  await writeFile(archive, plain.stdout);
  await skopeo(work.path, `docker-archive:${archive}`, `oci:${layout}:one`);
  await writeFile(join(work.path, 'note'), 'made by umoci\n');
  await umoci(
    'insert',
    '--rootless',
    '--image',
    `${layout}:one`,
    '--tag',
    'changed',
    join(work.path, 'note'),
    '/note',
  );
  return work;
}

/** Runs umoci(1). */
export async function umoci(...args: string[]): Promise<void> {
  await execa('umoci', args);
}

/** Copies an image, from one form to another. */
export async function skopeo(home: string, from: string, to: string): Promise<void> {
  const env = { HOME: home, XDG_RUNTIME_DIR: home };
  await execa('skopeo', ['copy', '--insecure-policy', from, to], { env });
}

/** A development bundle of the quickstart with another archive. */
export function bundleOf(archive: string): Promise<Vm> {
  return useFolder(async (work) => {
    const config = join(work, 'cc_site-1.yml');
    const text = await readFile(join(quickstart, 'cc_site-1.yml'), 'utf8');
    await cp(built().kit, join(work, 'site-1'), { recursive: true });
    await writeFile(config, text.replace('made/quickstart.tar.gz', archive).replace('made/site-1', 'site-1'));
    const output = join(work, 'out');
    await mkdir(output);
    await execa(join(projectRoot, 'bin/cvm'), ['build', '--dev', '--output', output, config], {
      cwd: work,
      env: { XDG_STATE_HOME: built().stateHome },
    });
    const { stdout } = await execa('find', [join(output, 'target'), '-maxdepth', '1', '-name', 'cvm_*']);
    return stdout;
  });
}
