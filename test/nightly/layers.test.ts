import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { built } from '../e2e/built.ts';
import { buildWith, copyBuilder } from '../e2e/changed-builder.ts';
import { useFolder } from '../e2e/harness.ts';
import { archiveOf, type Item, layerOf } from '../integration/workload/images.ts';

/** Each layer has a file of its own, and every second one hides the file of the layer before. */
async function imageOf(count: number): Promise<Buffer> {
  const folder: Item = ['l/', { type: 'directory', mode: 0o755 }];
  const first = layerOf(
    ['bin/', { type: 'directory', mode: 0o755 }],
    ['bin/busybox', { body: await readFile('/bin/busybox'), mode: 0o755 }],
    ['bin/sh', { type: 'symlink', linkName: 'busybox' }],
    folder,
  );
  const others = Array.from({ length: count - 1 }, (_, index) => {
    const hidden: Item[] = index % 2 === 1 ? [[`l/.wh.${index}`]] : [];
    return layerOf(folder, [`l/${index + 1}`, { body: String(index + 1) }], ...hidden);
  });
  const program = 'cat /l/* | tr "\\n" " "; echo; touch /written && echo "the writable layer is there"';
  const config = { Cmd: ['/bin/sh', '-c', program], Env: ['PATH=/bin'] };
  const links = ['cat', 'tr', 'touch'].map(
    (name): Item => [`bin/${name}`, { type: 'symlink', linkName: 'busybox' }],
  );
  return archiveOf([layerOf(...links), first, ...others].slice(0, count), { config: { config } });
}

/** What `cat /l/*` prints: the files that nothing hides, in the shell's order. */
function expected(layers: number): string {
  const files = Array.from({ length: layers }, (_, index) => index + 1);
  const kept = files.filter((number) => !(number % 2 === 1 && number < layers));
  return kept.map(String).toSorted().join('');
}

test.each([127, 300, 500])('an image of %d layers shows every file of each', async (count) => {
  await using vm = await useFolder(async (work) =>
    buildWith(await copyBuilder(work), await imageOf(count), { work, built: built() }),
  );
  const end = await vm.boot({ timeout: 800 });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  // The first layer holds links, the second busybox: so many are left for files.
  expect(await vm.log('workload.log')).toBe(`${expected(count - 2)}\nthe writable layer is there\n`);
});
