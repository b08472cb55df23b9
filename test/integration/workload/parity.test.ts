import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { imageCases } from '../../e2e/images/cases.ts';
import { layerTar } from '../../e2e/images/layers.ts';
import { linesOf, overlayTree, umociTree } from '../../e2e/images/tree.ts';
import { archiveOf, Bench } from './images.ts';

describe('the stacked layers of an image', () => {
  it.each(imageCases)('show what umoci unpacks, entry by entry: $name', async ({ layers }) => {
    await using bench = await Bench.make();
    const archive = archiveOf(layers.map((layer) => layerTar(layer)));
    const workload = await bench.import(archive);
    expect(bench.warnings).toEqual([]);
    const cwd = bench.folder;
    await writeFile(bench.path('image.tar'), archive);
    execFileSync(
      'skopeo',
      ['copy', '-q', '--insecure-policy', 'docker-archive:image.tar', 'oci:layout:tag'],
      { cwd },
    );
    execFileSync('umoci', ['unpack', '--rootless', '--image', 'layout:tag', 'bundle'], {
      cwd,
      stdio: 'ignore',
    });
    const ours = await overlayTree(workload.layers.map(({ squashfs }) => squashfs));
    const theirs = umociTree(bench.path('bundle'));
    expect(ours.size).toBeGreaterThan(4);
    expect(linesOf(ours, theirs)).toEqual(linesOf(theirs, theirs));
  });
});
