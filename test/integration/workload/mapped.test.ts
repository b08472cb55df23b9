import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { importArchive } from '../../../src/workload/index.ts';
import { MappedFile } from '../../support/mapped-file.ts';
import { archiveOf, Bench, catSquashfs, layerOf } from './images.ts';

/** An image whose one layer has a file twice, so that a third pass leaves out the first of the two. */
const imageOf = (body: string, first = 'first') =>
  archiveOf([layerOf(['app', { body: first }], ['app', { body }])]);

describe('an archive whose bytes change between passes with all times kept', () => {
  const genuine = imageOf('genuine');
  const planted = imageOf('planted');

  it.each([
    ['the pass that converts', 1],
    ['the pass that is repeated', 2],
  ])('never enters the cache under another digest: %s', async (_, honestPasses) => {
    await using bench = await Bench.make();
    await using file = new MappedFile(genuine, planted);
    const importing = importArchive({
      archive: file.path,
      cache: bench.cache,
      warn: () => {},
      progress({ done }) {
        if (done === honestPasses * genuine.length) file.put('second');
        if (done === (honestPasses + 1) * genuine.length) file.put('first');
      },
    });
    const outcome = await importing.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(file.timesKept).toBe(true);
    expect(await bench.leftovers()).toEqual([]);
    expect(outcome).toMatchObject({
      name: 'UserError',
      message: `cannot read docker archive ${file.path}: it changed while it was read`,
    });
    // Who brings the genuine archive later gets what is in it.
    await writeFile(bench.path('genuine.tar'), genuine);
    const { layers } = await bench.import(bench.path('genuine.tar'));
    expect(catSquashfs(layers[0]!.squashfs, 'app')).toBe('genuine');
  });
});
