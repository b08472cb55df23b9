import { chmod, mkdir, mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { printedPath } from '../../../src/build/printed-path.ts';

let root: string;
let output: string;
let data: string;
let link: string | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'printed-path-'));
  output = join(root, 'out put');
  data = join(root, 'data');
  await mkdir(data);
  vi.stubEnv('XDG_DATA_HOME', data);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  if (link !== undefined) await rm(link, { force: true });
  await rm(root, { recursive: true });
});

it('leads to a folder whose path holds a blank by a link in a folder of this account', async () => {
  link = await printedPath(output);
  expect(dirname(link)).toBe(join(data, 'cvm-builder/output'));
  expect(await readlink(link)).toBe(output);
});

it('makes no link below a folder in which others could exchange it', async () => {
  await chmod(data, 0o777);
  link = await printedPath(output);
  expect(link.startsWith(root), link).toBe(false);
  expect(await readlink(link)).toBe(output);
  await chmod(data, 0o1777);
  expect((await printedPath(output)).startsWith(data)).toBe(true);
});
