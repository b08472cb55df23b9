import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleFiles } from '../../src/bundle/index.ts';
import { openDrive } from '../../src/drives/index.ts';
import { sha256File } from '../../src/host/files.ts';
import { auditBundle, auditLines } from './audit.ts';
import { built } from './built.ts';
import { editDrive, offsetOfFolder } from './drives.ts';
import { copyOfBundle, expectFailedClosed, expectNoWorkload } from './harness.ts';
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

test('a kit in two parts is one read-only folder for the workload, and its own: modes and bytes are those of the kit', async () => {
  let expected: string[] = [];
  await using vm = await auditBundle('kit', {
    user: '1000:7',
    kit: async (folder) => {
      await mkdir(join(folder, 'secret/deep'), { recursive: true });
      await writeFile(join(folder, 'secret/deep/token'), 'sealed');
      await mkdir(join(folder, 'empty'));
      await chmod(join(folder, 'secret/deep/token'), 0o400);
      await chmod(join(folder, 'secret'), 0o500);
      // A folder of both parts.
      await chmod(join(folder, 'local'), 0o711);
      expected = await entriesOf(folder);
    },
  });
  const end = await vm.boot();
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  const lines = await auditLines(vm);
  expect(lines.filter((line) => line.includes(' ./nvflare')).map((line) => line.trimEnd())).toEqual(expected);
  expect(lines[0]).toMatch(/^755 1000:7 \. /);
  expect(lines.filter((line) => line.includes('written') || line.includes('writing'))).toEqual([]);
  expect(lines.at(-2)).toMatch(/^mounted overlay ro,nosuid,nodev,/);
  expect(lines.at(-1)).toBe('end');
});

/** The lines that audit/kit.sh writes of a kit. */
async function entriesOf(folder: string): Promise<string[]> {
  const lines = [];
  for (const path of ['', ...(await readdir(folder, { recursive: true }))]) {
    const found = await stat(join(folder, path));
    const sum = found.isFile() ? await sha256File(join(folder, path)) : { hex: '' };
    const name = ['.', 'nvflare', ...(path === '' ? [] : [path])].join('/');
    lines.push([name, `${(found.mode & 0o777).toString(8)} 1000:7 ${name} ${sum.hex}`.trimEnd()] as const);
  }
  return lines.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
}

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
