import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleFiles } from '../../src/bundle/index.ts';
import { openDrive } from '../../src/drives/index.ts';
import { built } from './built.ts';
import { editDrive, offsetOfFolder } from './drives.ts';
import { copyOfBundle, expectFailedClosed, expectNoWorkload, expectWorkloadEnded } from './harness.ts';
import { findInFile, formsOfPem } from './search.ts';

test('a changed file of the startup kit stops the boot and is named', async () => {
  await using vm = await copyOfBundle();
  const script = await readFile(join(built().kit, 'startup/sub_start.sh'), 'utf8');
  const path = '/nvflare/startup/sub_start.sh';
  await editDrive(
    vm.file('user_config.qcow2'),
    [`rm ${path}`, `write sub_start.sh ${path}`, `set_inode_field ${path} mode 0100755`],
    { 'sub_start.sh': script.replace(/.$/m, '#') },
  );
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(
    vm,
    end,
    'E64',
    /^user_config is not what was sealed: nvflare\/startup\/sub_start\.sh$/,
  );
});

test('read errors that hide a planted link for a moment do not lead the private key out', async () => {
  await using vm = await copyOfBundle();
  const drive = vm.file('user_config.qcow2');
  await editDrive(drive, ['symlink /nvflare/startup/client.key /applog/leak']);
  // The first reads of the folder's block fail, later ones succeed: what looks first sees another folder.
  const sector = (await offsetOfFolder(drive, '/nvflare/startup')) / 512;
  const once = [0, 1].flatMap((n) => {
    const error = { event: 'none', iotype: 'read', errno: 5, sector, once: 'on' };
    return Object.entries(error).map(([key, value]) => `file.inject-error.${n}.${key}=${value}`);
  });
  const blockOptions = { user_config: ['file.driver=blkdebug', 'file.image.driver=file', ...once].join(',') };
  const end = await vm.boot({ hostile: { blockOptions } });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed' } });
  expect(end.verdict?.code).toMatch(/^E6[234]$/);
  expect(end.console.join('\n')).toMatch(/I\/O error/);
  expect(await vm.log('leak')).toBeUndefined();
  await expectNoWorkload(vm, end);
});

test('a kit in two parts is one read-only folder for the workload, owned by it', async () => {
  await using vm = await copyOfBundle();
  await expectWorkloadEnded(vm, await vm.boot());
  const log = await vm.log('quickstart.log');
  // One of the plain drive, one of the sealed layer.
  expect(log).toContain('startup kit of site-1');
  expect(log).toContain('private key is present, mode 600');
});

test("the kit's private key lies on no drive that the host can read, its public files do", async () => {
  const { folder, archive } = built().development;
  const key = formsOfPem(await readFile(join(built().kit, 'startup/client.key'), 'utf8'));
  const certificate = formsOfPem(await readFile(join(built().kit, 'startup/client.crt'), 'utf8'));
  const userConfig = join(folder, 'user_config.qcow2');
  expect(await findInFile(userConfig, certificate)).toContain('line 0');
  for (const file of [archive, ...bundleFiles.map((name) => join(folder, name))]) {
    expect([file, await findInFile(file, key)]).toEqual([file, []]);
  }
  await using drive = await openDrive(userConfig);
  const names = (await drive.list('/nvflare/startup'))?.map(({ name }) => name).sort();
  expect(names).toEqual(['client.crt', 'fed_client.json', 'rootCA.pem', 'sub_start.sh']);
  // Components may take credentials: resources.json is sealed, though nothing in this one is secret.
  const local = (await drive.list('/nvflare/local'))?.map(({ name }) => name).sort();
  expect(local).toEqual(['privacy.json']);
});
