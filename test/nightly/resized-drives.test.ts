import { expect, test } from 'vitest';
import { listingOf, verifyBundle } from '../../src/bundle/index.ts';
import { resizeDrive } from '../../src/drives/index.ts';
import { auditBundle, auditLines } from '../e2e/audit.ts';
import { editDrive } from '../e2e/drives.ts';

const mib = 2 ** 20;

test('a bundle whose plain drives were resized is whole, boots, and its workload sees their new sizes', async () => {
  await using vm = await auditBundle('drives');
  const resize = async (name: string, size: string) =>
    resizeDrive(vm.file(name), { size, listing: await listingOf(vm.file(name)) });
  await editDrive(vm.file('user_data.qcow2'), ['write note /note'], { note: 'training data\n' });

  expect(await resize('user_data.qcow2', '+20G')).toMatchObject({ outcome: 'resized', to: 21 * 1024 * mib });
  expect(await resize('applog.qcow2', '200M')).toMatchObject({ outcome: 'resized', to: 200 * mib });
  expect(await resize('user_config.qcow2', '+1G')).toMatchObject({ outcome: 'resized' });
  const { whole, checks } = await verifyBundle(vm.folder);
  const failures = checks.flatMap(({ findings }) =>
    findings.filter(({ severity }) => severity === 'failure'),
  );
  expect(failures).toEqual([]);
  expect(whole).toBe(true);

  const end = await vm.boot();
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok', code: '' } });
  const said = await auditLines(vm);
  const kib = (folder: string) =>
    Number(said.flatMap((line) => new RegExp(`^size of ${folder}: (\\d+) KiB$`).exec(line)?.[1] ?? [])[0]);
  // What df leaves out is metadata: the journal and, of 21 GiB, the inode tables.
  expect(kib('/user_data') * 1024).toBeGreaterThan(20 * 1024 * mib);
  expect(kib('/user_data') * 1024).toBeLessThan(21 * 1024 * mib);
  expect(kib('/applog') * 1024).toBeLessThan(200 * mib);
  expect(said).toContain('note: training data');
  expect(said).toContain(`wrote ${40 * mib} bytes to /applog`);

  // A drive that a VM wrote to shrinks as well, once the VM has ended.
  expect(await resize('applog.qcow2', '150M')).toMatchObject({ outcome: 'resized' });
  expect(await auditLines(vm)).toContain('end');
});
