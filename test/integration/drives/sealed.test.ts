import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { makeDrive } from '../../../src/drives/index.ts';
import { workDirectory } from '../../../src/host/temp.ts';
import { cvm } from './resize-drive.ts';

test('who changes user_config is told that the VM will refuse it; who reads it, or changes another drive, is not', async () => {
  await using work = await workDirectory({ bytes: 2 ** 27 });
  const settings = join(work.path, 'settings.json');
  await writeFile(settings, '{}');
  const drive = async (label: string) => {
    const file = join(work.path, `${label}.qcow2`);
    await makeDrive({ file, bytes: 2 ** 25, label, seed: 's', workDirectory: work.path });
    return file;
  };
  const [sealed, plain] = [await drive('user_config'), await drive('user_data')];
  const said = async (...args: string[]) =>
    (await execa(process.execPath, [cvm, 'drive', ...args], { cwd: work.path })).stderr;
  const warning = /warning: user_config is sealed: .* user_config_editable .*E64/;
  expect(await said('cp', settings, `${sealed}:/`)).toMatch(warning);
  expect(await said('cp', settings, 'user_config.qcow2:/')).toMatch(warning);
  expect(await said('cp', `${sealed}:/settings.json`, 'read.json')).not.toContain('sealed');
  expect(await said('rm', `${sealed}:/settings.json`)).toMatch(warning);
  expect(await said('cp', settings, `${plain}:/`)).not.toContain('sealed');
  expect(await said('rm', `${plain}:/settings.json`)).not.toContain('sealed');
});
