import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { projectRoot } from '../../src/build/builder-file.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { built } from './built.ts';
import { expectWorkloadEnded, useFolder, type Vm } from './harness.ts';

const quickstart = join(projectRoot, 'examples/quickstart');

test('an image that umoci changed and skopeo saved as docker-archive runs', async () => {
  await using images = await ociLayout();
  const saved = join(images.path, 'saved.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `docker-archive:${saved}:quickstart:changed`);
  await using vm = await bundleOf(saved);
  await expectWorkloadEnded(vm, await vm.boot());
});

test('an OCI layout in a tar runs', async () => {
  await using images = await ociLayout();
  const saved = join(images.path, 'layout.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `oci-archive:${saved}:quickstart`);
  await using vm = await bundleOf(saved);
  await expectWorkloadEnded(vm, await vm.boot());
});

test('a workload that fails is started again, and in the end the VM says so and powers off', async () => {
  await using images = await ociLayout();
  await umoci('config', '--image', `${images.path}/oci:changed`, '--config.cmd=/no/such/program');
  await umoci('config', '--image', `${images.path}/oci:changed`, '--config.entrypoint=/bin/false');
  const saved = join(images.path, 'failing.tar');
  await skopeo(images.path, `oci:${images.path}/oci:changed`, `docker-archive:${saved}:quickstart:failing`);
  await using vm = await bundleOf(saved);
  const end = await vm.boot({ timeout: 600 });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E70' } });
  const log = (await vm.log('boot.log')) ?? '';
  expect(log.match(/FAILED E70: the workload failed \(exited 1\)/g)).toHaveLength(5);
  expect([...log.matchAll(/starting the workload again in (\d+) s/g)].map((match) => match[1])).toEqual([
    '5',
    '10',
    '20',
    '40',
  ]);
  expect(log).toMatch(/\] powering off: the workload failed 5 times in a row\n$/);
});

/** The quickstart's image as an OCI layout `oci`, its tag `changed` with one more layer made by umoci. */
async function ociLayout() {
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

async function umoci(...args: string[]): Promise<void> {
  await execa('umoci', args);
}

async function skopeo(home: string, from: string, to: string): Promise<void> {
  const env = { HOME: home, XDG_RUNTIME_DIR: home };
  await execa('skopeo', ['copy', '--insecure-policy', from, to], { env });
}

/** A development bundle of the quickstart with another archive. */
function bundleOf(archive: string): Promise<Vm> {
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
