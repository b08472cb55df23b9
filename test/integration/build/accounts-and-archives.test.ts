import { execFileSync } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../../src/bundle/index.ts';
import { BuildBench, nobody, type Outcome } from './bench.ts';

let bench: BuildBench;
beforeAll(async () => {
  bench = await BuildBench.make();
});
afterAll(() => bench?.[Symbol.asyncDispose]());

async function expectReady(outcome: Outcome, output: string): Promise<void> {
  expect(outcome.stderr).not.toContain('error: ');
  expect(outcome.status).toBe(0);
  const archive = bench.path(`${output}/target/site-1.tgz`);
  expect(outcome.stdout.trimEnd().split('\n').at(-1)).toBe(`CVM Bundle ${archive} is ready`);
  // What the site's host will do with it.
  const names = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trimEnd().split('\n');
  expect(names).toHaveLength(12);
  const [folder] = (await bench.list(`${output}/target`)).filter((name) => name.startsWith('cvm_'));
  expect(names).toContain(`site-1/${folder}/crypt_root.qcow2`);
  expect((await readManifest(bench.path(`${output}/target/${folder}`))).kind).toBe('development');
}

const umoci = (...args: string[]) => execFileSync('umoci', args, { stdio: 'pipe' });

/** An OCI layout made by umoci, image `one`: busybox and a program in one layer. */
async function umociImage(): Promise<string> {
  const layout = bench.path('layout');
  const image = `${layout}:one`;
  umoci('init', '--layout', layout);
  umoci('new', '--image', image);
  umoci('unpack', '--rootless', '--image', image, bench.path('unpacked'));
  const root = bench.path('unpacked/rootfs');
  await mkdir(join(root, 'bin'));
  await cp('/bin/busybox', join(root, 'bin/busybox'));
  await writeFile(join(root, 'app.sh'), '#!/bin/busybox sh\necho hello\n', { mode: 0o755 });
  umoci('repack', '--image', image, bench.path('unpacked'));
  umoci('config', '--image', image, '--config.entrypoint', '/app.sh', '--config.user', '1000:1000');
  umoci('gc', '--layout', layout);
  return layout;
}

describe('archives made by other tools', () => {
  let layout: string;
  beforeAll(async () => {
    layout = await umociImage();
  });

  it('build: an OCI layout of umoci, as a tar', async () => {
    execFileSync('tar', ['-C', layout, '-cf', bench.path('oci.tar'), '.']);
    await bench.configure('oci.tar');
    await expectReady(await bench.build(['--output', bench.path('oci')]), 'oci');
  });

  it('build: a layer whose last entry lacks its padding, as `umoci insert` makes and Docker takes', async () => {
    const inserted = bench.path('inserted');
    execFileSync('cp', ['-a', layout, inserted]);
    await writeFile(bench.path('odd.txt'), 'not a multiple of 512');
    umoci('insert', '--rootless', '--image', `${inserted}:one`, bench.path('odd.txt'), '/odd.txt');
    umoci('gc', '--layout', inserted);
    execFileSync('tar', ['-C', inserted, '-cf', bench.path('inserted.tar'), '.']);
    await bench.configure('inserted.tar');
    await expectReady(await bench.build(['--output', bench.path('inserted-out')]), 'inserted-out');
  });

  it('build: a docker archive of skopeo', async () => {
    const target = `docker-archive:${bench.path('skopeo.tar')}:quickstart:1`;
    execFileSync('skopeo', ['copy', '--insecure-policy', `oci:${layout}:one`, target], {
      stdio: 'pipe',
      env: { ...process.env, HOME: bench.folder, XDG_RUNTIME_DIR: bench.folder },
    });
    await bench.configure('skopeo.tar');
    await expectReady(await bench.build(['--output', bench.path('skopeo')]), 'skopeo');
  });

  it('build: an OCI archive of skopeo', async () => {
    execFileSync(
      'skopeo',
      ['copy', '--insecure-policy', `oci:${layout}:one`, `oci-archive:${bench.path('skopeo-oci.tar')}:one`],
      { stdio: 'pipe', env: { ...process.env, HOME: bench.folder, XDG_RUNTIME_DIR: bench.folder } },
    );
    await bench.configure('skopeo-oci.tar');
    await expectReady(await bench.build(['--output', bench.path('skopeo-oci')]), 'skopeo-oci');
  });
});

describe('an ordinary account', () => {
  it('builds, with the base in its cache', async () => {
    await bench.configure('image.tar.gz');
    // Hard links must not change owner with the copy.
    await bench.copyOf('cache', 'own/cache');
    for (const name of ['image.tar.gz', 'site-1', 'cc_site-1.yml', 'builder.yml'])
      await bench.copyOf(name, `own/${name}`);
    const root = process.getuid?.() === 0;
    if (root) {
      execFileSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, bench.path('own')]);
      execFileSync('chmod', ['711', bench.folder]);
    }
    const own = bench.path('own');
    const outcome = await bench.run(
      ['build', '--dev', '--config', `${own}/builder.yml`, '--output', own, `${own}/cc_site-1.yml`],
      {
        ...(root ? nobody : {}),
        cwd: own,
        env: {
          // No sbin, as in an ordinary account's shell.
          PATH: '/usr/local/bin:/usr/bin:/bin',
          HOME: own,
          XDG_CACHE_HOME: `${own}/cache`,
          XDG_STATE_HOME: `${own}/state`,
        },
      },
    );
    await expectReady(outcome, 'own');
    const owners = execFileSync(
      'find',
      [`${own}/target`, `${own}/handoff`, `${own}/state`, '-printf', '%U\n'],
      {
        encoding: 'utf8',
      },
    );
    expect(new Set(owners.trim().split('\n'))).toEqual(
      new Set([String(root ? nobody.uid : process.getuid?.())]),
    );
  });
});
