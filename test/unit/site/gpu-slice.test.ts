import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

const text = (name: string) => readFile(join(templatePath('site/gpu'), name), 'utf8');

it('the slice of the container opens the devices of those drivers that nodes are made for, and of no others', async () => {
  const searched = (await text('make-nodes')).matchAll(/\$\(major ([a-z -]+)\)/g);
  const drivers = [...searched].flatMap(([, names]) => names!.split(' '));
  expect(drivers).toEqual(expect.arrayContaining(['nvidia', 'nvidia-uvm']));
  const slice = await text('container.slice.conf');
  const settings = slice.split('\n').filter((line) => /^[^#[]/.test(line) && !line.startsWith('After='));
  expect(settings).toEqual(drivers.map((name) => `DeviceAllow=char-${name} rw`));
});
