import { expect, test } from 'vitest';
import { imageRecord } from '../../../src/build/hand-over.ts';
import { imageRecord as schema } from '../../../src/kbs/registry/record.ts';
import { manifest } from '../bundle/fixture.ts';

const settings = { project: 'project', site: { role: undefined } };

test('a record lists every file of the bundle that stays as it was built, and no drive that a VM writes to', () => {
  const files = Object.fromEntries(
    Object.keys(manifest.files).map((name, at) => [name, { sha256: `${at}`.repeat(64), bytes: 1 }]),
  ) as typeof manifest.files;
  const record = imageRecord(settings, { ...manifest, files });
  expect(Object.keys(record.files ?? {}).sort()).toEqual([
    'OVMF.amdsev.fd',
    'README.txt',
    'initrd.img',
    'launch_vm.sh',
    'user_config.qcow2',
    'vmlinuz',
  ]);
  expect(record.files).toMatchObject({ 'launch_vm.sh': files['launch_vm.sh'].sha256 });
  expect(schema.parse(record)).toEqual(record);
});
