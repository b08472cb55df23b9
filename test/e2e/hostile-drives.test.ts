import { rename } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { listDrive } from '../../src/drives/index.ts';
import { auditBundle, auditLines } from './audit.ts';
import { editDrive, replaceDrive } from './drives.ts';
import { copyOfBundle, expectFailedClosed, expectNoWorkload, type Vm } from './harness.ts';

async function exchange(vm: Vm, one: string, other: string): Promise<void> {
  await rename(vm.file(one), vm.file('aside'));
  await rename(vm.file(other), vm.file(one));
  await rename(vm.file('aside'), vm.file(other));
}

test('without applog the boot stops at once, and says so on the console', async () => {
  await using vm = await copyOfBundle();
  const end = await vm.boot({ hostile: { missingDrives: ['applog'] } });
  expect(end).toMatchObject({
    end: 'powered-off',
    verdict: { result: 'failed', code: 'E10', message: 'the drive applog is missing' },
    requests: { total: 0 },
  });
  expect(end.console.join('\n')).toContain('FAILED E10: the drive applog is missing');
  await expectNoWorkload(vm, end);
});

test('without another drive the boot stops before the key is asked for', async () => {
  await using vm = await copyOfBundle();
  const end = await vm.boot({ hostile: { missingDrives: ['user_data'] } });
  await expectFailedClosed(vm, end, 'E66', /^the drive user_data is missing$/);
  expect(end.requests?.total).toBe(0);
});

test('user_config and user_data in each other’s place stop the boot', async () => {
  await using vm = await copyOfBundle();
  await exchange(vm, 'user_config.qcow2', 'user_data.qcow2');
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E64', /^user_config is not what was sealed: mnt$/);
});

test('a pipe in the place of a file of the kit stops the boot and is named', async () => {
  await using vm = await copyOfBundle();
  const path = '/nvflare/startup/fed_client.json';
  await editDrive(vm.file('user_config.qcow2'), [
    `rm ${path}`,
    'cd /nvflare/startup',
    'mknod fed_client.json p',
  ]);
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(
    vm,
    end,
    'E63',
    /neither file nor folder: \.\/nvflare\/startup\/fed_client\.json$/,
  );
});

test('links, pipes, programs and a share on user_data, and links on applog, lead nowhere: the workload runs', async () => {
  await using vm = await auditBundle('nfs');
  // A file system of another maker and size, and full.
  await replaceDrive(vm.file('user_data.qcow2'), 8, {
    stage: 'none\n',
    'ext_mount.conf': '10.0.2.101:/training_data\n',
    run: '#!/bin/sh\n',
    data: 'x'.repeat(9 * 2 ** 20),
  });
  await editDrive(vm.file('applog.qcow2'), [
    'symlink /quickstart.log /applog/elsewhere',
    'mknod pipe p',
    'symlink /lost+found/x /etc/shadow',
  ]);
  const end = await vm.boot({ hostile: {} });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(await vm.log('boot.log')).toContain(
    'E68: user_data/ext_mount.conf is not used: port 2049 is not in allowed_out_ports',
  );
  const said = await auditLines(vm);
  expect(said).toContainEqual(
    expect.stringMatching(/^\/user_data\/away: symbolic link, cat: .*\/user_data\/away': \S.*$/),
  );
  expect(said.join('\n')).not.toMatch(/PRIVATE KEY/);
  expect(said).toContainEqual(expect.stringMatching(/^\/user_data\/pipe: fifo, *$/));
  expect(said.filter((line) => line.endsWith(' runs'))).toEqual([]);
  expect(said.filter((line) => line.startsWith('mount: '))).toEqual([
    expect.stringMatching(
      /^mount: \/user_data ext4 (?=.*\bro\b)(?=.*\bnosuid\b)(?=.*\bnodev\b)(?=.*\bnoexec\b).*\bnosymfollow\b/,
    ),
  ]);
  expect(said.at(-1)).toBe('end');
  const names = (await listDrive(vm.file('applog.qcow2'), '/'))?.map(({ name }) => name).sort();
  expect(names).toEqual(expect.not.arrayContaining(['elsewhere']));
});
