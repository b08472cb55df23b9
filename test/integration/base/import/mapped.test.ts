import { execFileSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { MappedFile } from '../../../support/mapped-file.ts';
import { ext4Of } from './disks.ts';
import { asRoot, draftsIn, importInto, makeSystem, workFolder } from './system.ts';

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
const program = (word: string) => `#!/bin/sh\necho ${word}\n`;

/** The same system twice, with one program that differs, in each form that an import reads. */
const forms: Readonly<Record<string, (tree: string, file: string) => void>> = {
  tar: (tree, file) => asRoot('tar -C "$1" -cf "$2" .', tree, file),
  raw: (tree, file) => ext4Of(tree, file, 120),
  qcow2: (tree, file) => {
    const raw = ext4Of(tree, `${file}.raw`, 120);
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
  },
  squashfs: (tree, file) => asRoot('gensquashfs -q -f -D "$1" "$2"', tree, file),
};

beforeAll(async () => {
  const tree = await makeSystem(at('genuine'), { 'usr/bin/hello': program('genuine') });
  await cp(tree, at('planted'), { recursive: true, verbatimSymlinks: true });
  await writeFile(at('planted/usr/bin/hello'), program('planted'));
});

describe('a base whose bytes change after it was hashed, with all times kept', () => {
  it.each(Object.keys(forms))('never enters the cache under another digest: %s', async (form) => {
    for (const which of ['genuine', 'planted']) forms[form]!(at(which), at(`${which}.${form}`));
    const genuine = at(`genuine.${form}`);
    await using file = new MappedFile(await readFile(genuine), await readFile(at(`planted.${form}`)));
    const cache = at(`cache-${form}`);
    let hashed = false;
    const outcome = await importInto(cache, {
      file: file.path,
      progress(progress) {
        if (hashed || typeof progress !== 'object' || progress.done !== progress.total) return;
        hashed = true;
        file.put('second');
      },
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(file.timesKept).toBe(true);
    expect(await draftsIn(cache)).toEqual([]);
    expect(outcome).toMatchObject({
      name: 'UserError',
      message: `cannot import ${file.path}: it changed while it was read`,
    });
    file.put('first');
    const { base, fromCache } = await importInto(cache, { file: file.path });
    expect(fromCache).toBe(false);
    const hello = execFileSync('rdsquashfs', ['--cat', 'usr/bin/hello', base.squashfs], { encoding: 'utf8' });
    expect(hello).toBe(program('genuine'));
  });
});
