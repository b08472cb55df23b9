import { expect, test } from 'vitest';
import { listDrive } from '../../src/drives/index.ts';
import { editDrive } from './drives.ts';
import { copyOfBundle, expectNoWorkload } from './harness.ts';

test('boot.log as a symbolic link stops the boot, and nothing is written through it', async () => {
  await using vm = await copyOfBundle();
  // It leads to another name on the same drive, where the host can see what was written through it.
  await editDrive(vm.file('applog.qcow2'), ['symlink /boot.log /applog/elsewhere']);
  const end = await vm.boot({ hostile: {} });
  expect(end).toMatchObject({
    end: 'powered-off',
    verdict: { result: 'failed', code: 'E12', message: 'applog/boot.log is not a regular file' },
    requests: { total: 0 },
  });
  expect(end.console.join('\n')).toContain('FAILED E12: applog/boot.log is not a regular file');
  const names = (await listDrive(vm.file('applog.qcow2'), '/'))?.map(({ name }) => name).sort();
  expect(names).toEqual(['boot.log', 'lost+found']);
  await expectNoWorkload(vm, end);
});

test('workload.log as a symbolic link is not followed, and the workload does not start without its log', async () => {
  await using vm = await copyOfBundle();
  await editDrive(vm.file('applog.qcow2'), ['symlink /workload.log /applog/elsewhere']);
  const end = await vm.boot({ hostile: {} });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code: 'E71' } });
  expect(await vm.log('boot.log')).toContain('FAILED E71: applog/workload.log is not a regular file');
  expect(end.console.join('\n')).not.toMatch(/quickstart:|the workload ended/);
  const names = (await listDrive(vm.file('applog.qcow2'), '/'))?.map(({ name }) => name).sort();
  expect(names).toEqual(['boot.log', 'lost+found', 'workload.log']);
});
