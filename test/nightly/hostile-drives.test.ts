import { randomBytes } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { editDrive, overwriteStart, replaceDrive } from '../e2e/drives.ts';
import { copyOfBundle, expectFailedClosed, expectWorkloadEnded } from '../e2e/harness.ts';

/** In the place of a superblock. */
const garbage = randomBytes(64 * 1024);

test('an applog that is no file system stops the boot before the key is asked for', async () => {
  await using vm = await copyOfBundle();
  await overwriteStart(vm.file('applog.qcow2'), garbage);
  const end = await vm.boot({ hostile: {} });
  expect(end).toMatchObject({
    end: 'powered-off',
    verdict: { result: 'failed', code: 'E11' },
    requests: { total: 0 },
  });
});

test('an applog that is full stops the boot before the key is asked for', async () => {
  await using vm = await copyOfBundle();
  await replaceDrive(vm.file('applog.qcow2'), 8, { fill: 'x'.repeat(9 * 2 ** 20) });
  const end = await vm.boot({ hostile: {} });
  expect(end).toMatchObject({
    end: 'powered-off',
    verdict: { result: 'failed', code: 'E12', message: 'applog/boot.log cannot be written: applog is full' },
    requests: { total: 0 },
  });
});

test('a root drive that is another drive stops the boot', async () => {
  await using vm = await copyOfBundle();
  await cp(vm.file('user_config.qcow2'), vm.file('crypt_root.qcow2'));
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E43', /^the seal of the root drive is broken/);
});

test('a user_config with more than memory is set aside for stops the boot', async () => {
  await using vm = await copyOfBundle();
  await editDrive(vm.file('user_config.qcow2'), ['write big /nvflare/big'], {
    big: 'x'.repeat(70 * 2 ** 20),
  });
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E62', /^user_config cannot be copied: .*No space left on device/);
});

test('a user_data that is no file system stops the boot', async () => {
  await using vm = await copyOfBundle();
  await overwriteStart(vm.file('user_data.qcow2'), garbage);
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E67', /^user_data is not a usable ext4 drive/);
});

test('a LUKS header overwritten with zeros does no harm', async () => {
  await using vm = await copyOfBundle();
  await overwriteStart(vm.file('crypt_root.qcow2'), Buffer.alloc(2 * 2 ** 20));
  await expectWorkloadEnded(vm, await vm.boot());
});

test('a file added to the startup kit stops the boot and is named', async () => {
  await using vm = await copyOfBundle();
  await editDrive(
    vm.file('user_config.qcow2'),
    ['mkdir /nvflare/local/custom', 'write evil.py /nvflare/local/custom/evil.py'],
    { 'evil.py': 'print("planted")\n' },
  );
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E64', /^user_config is not what was sealed: nvflare\/local\/custom/);
});

test('a symbolic link in the startup kit stops the boot and is named', async () => {
  await using vm = await copyOfBundle();
  await editDrive(vm.file('user_config.qcow2'), ['symlink /nvflare/local/shadow /etc/shadow']);
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E63', /neither file nor folder: \.\/nvflare\/local\/shadow$/);
});
