import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sweepLeftovers, workDirectory } from '../../../src/host/temp.ts';

let top: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'temp-test-'));
});
afterEach(async () => {
  await rm(top, { recursive: true, force: true });
});

const huge = 2 ** 50;

/** Runs a program that makes a work folder in `top`, prints its path and ends as told. */
async function child(end: string): Promise<string> {
  const module = new URL('../../../src/host/temp.ts', import.meta.url).href;
  const program = `import { workDirectory } from ${JSON.stringify(module)};
    import { writeFileSync, writeSync } from 'node:fs';
    const work = await workDirectory({ bytes: ${huge}, base: ${JSON.stringify(top)} });
    writeFileSync(work.path + '/plaintext', 'x');
    writeSync(1, work.path);
    ${end}`;
  return (await execa(process.execPath, ['--input-type=module', '-e', program], { reject: false })).stdout;
}

test('small work lies in memory, large work on disk, both private', async () => {
  await using small = await workDirectory({ base: top });
  await using large = await workDirectory({ bytes: huge, base: top });
  expect(small.onTmpfs).toBe(true);
  expect(dirname(large.path)).toBe(top);
  for (const { path } of [small, large]) expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test('it is gone after its scope, with folders that nobody may write to', async () => {
  let path: string;
  {
    await using work = await workDirectory({ bytes: huge, base: top });
    path = work.path;
    await mkdir(join(path, 'locked'));
    await writeFile(join(path, 'locked/file'), '');
    await chmod(join(path, 'locked'), 0o000);
  }
  await expect(stat(path)).rejects.toThrow(/ENOENT/);
});

test.each([
  ['process.exit', 'process.exit(3)'],
  ['an uncaught error', 'throw new Error()'],
  ['its end', ''],
])('it is gone when the process ends by %s', async (_, end) => {
  const path = await child(end);
  expect(dirname(path)).toBe(top);
  expect(await readdir(top)).toEqual([]);
});

test('what a killed build left is swept, what a running one holds is not', async () => {
  const left = await child("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})");
  expect(await readdir(top)).toEqual([basename(left)]);
  await using own = await workDirectory({ bytes: huge, base: join(top) });
  expect(await readdir(top)).toEqual([basename(own.path)]);
});

test('a reused process id does not protect leftovers; other machines, links and other names are left alone', async () => {
  await using own = await workDirectory({ bytes: huge, base: top });
  const [, place, pid, life] = /^cvm-builder-(\w+)-(\d+)-(\w+)-/.exec(basename(own.path))!;
  const earlier = `cvm-builder-${place}-${pid}-00000000-1-aaaaaa`;
  const elsewhere = `cvm-builder-00000000-${pid}-00000000-1-aaaaaa`;
  const link = `cvm-builder-${place}-999999999-${life}-1-aaaaaa`;
  await mkdir(join(top, earlier));
  await mkdir(join(top, elsewhere));
  await mkdir(join(top, 'cvm-builder-notes'));
  await symlink(join(top, elsewhere), join(top, link));
  expect(await sweepLeftovers(top)).toEqual([join(top, earlier)]);
  expect((await readdir(top)).sort()).toEqual(
    [elsewhere, link, 'cvm-builder-notes', basename(own.path)].sort(),
  );
});

test('a folder that cannot be used is named', async () => {
  await expect(workDirectory({ bytes: huge, base: join(top, 'absent') })).rejects.toThrow(
    /cannot make a work folder in .*absent/,
  );
});
