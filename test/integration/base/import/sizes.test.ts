import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { sizeBudget } from '../../../../src/base/import/budget.ts';
import { replayedCopy } from '../../../../src/base/import/journal.ts';
import { largestUnpacked, unpackSquashfs } from '../../../../src/host/squashfs.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';
import { ext4Of } from './disks.ts';
import { importInto, makeSystem, release, workFolder } from './system.ts';

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
const GiB = 2 ** 30;

describe('a small image of huge files', () => {
  it('is refused at the import before they are read', async () => {
    const tree = await makeSystem(at('tree'));
    const huge = join(tree, 'usr/bin/huge');
    execFileSync('truncate', ['-s', String(largestUnpacked), huge]);
    await expect(importInto(folder.path, { file: ext4Of(tree, at('huge.raw'), 120) })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining('its files take more than 32 GiB, the last of them usr/bin/huge'),
    });
    await rm(huge);
    const modules = join(tree, 'usr/lib/modules', release);
    const [module] = execFileSync('find', [modules, '-name', 'dm-verity.ko*'], { encoding: 'utf8' }).split(
      '\n',
    );
    await truncate(module!, 256 * 2 ** 20 + 1);
    await expect(
      importInto(folder.path, { file: ext4Of(tree, at('module.raw'), 120) }),
    ).rejects.toMatchObject({ message: expect.stringContaining('is larger than any module') });
  });

  it('counts all of them together, and their names', () => {
    const spend = sizeBudget();
    const file = (size: number) => ({ name: 'a', size });
    spend(file(20 * GiB));
    spend(file(11 * GiB));
    expect(() => spend(file(1 * GiB))).toThrow(MalformedError);
    const many = sizeBudget();
    expect(() => {
      for (let count = 0; count < 10_000_000; count++) many(file(0));
    }).toThrow(MalformedError);
  });

  it('is not unpacked beyond the limit', async () => {
    await mkdir(at('zeros'));
    execFileSync('truncate', ['-s', '200M', at('zeros/file')]);
    execFileSync('sh', ['-c', 'tar -C "$1" -cf - . | tar2sqfs -q "$2"', 'sh', at('zeros'), at('zeros.sqfs')]);
    await mkdir(at('out'));
    await expect(unpackSquashfs(at('zeros.sqfs'), at('out'), undefined, 10 * 2 ** 20)).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot unpack ${at('zeros.sqfs')}: it holds more than the 10 MiB there is room for`,
    });
    for (const name of await readdir(at('out')))
      expect((await stat(join(at('out'), name))).blocks * 512).toBeLessThanOrEqual(10 * 2 ** 20);
    await unpackSquashfs(at('zeros.sqfs'), at('out'));
    expect((await stat(at('out/file'))).size).toBe(200 * 2 ** 20);
  });
});

it('a journal is not replayed in memory because the image says that nothing of it is used', async () => {
  await mkdir(at('tmp'));
  vi.stubEnv('TMPDIR', at('tmp'));
  const size = 4 * 2 ** 40;
  let copies: string[] = [];
  const volume = {
    size: 2 * size,
    async read(): Promise<Buffer> {
      copies = await readdir(at('tmp'));
      throw new MalformedError('enough');
    },
  };
  await using stack = new AsyncDisposableStack();
  const copied = replayedCopy(volume, { blockSize: 4096, blocksCount: size / 4096 }, { stack });
  await expect(copied).rejects.toThrow('enough');
  expect(copies).toHaveLength(1);
  const [path] = copies.map((name) => join(at('tmp'), name, 'volume'));
  expect((await stat(path!)).size).toBe(size);
  vi.unstubAllEnvs();
});
