import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { auditBundle, auditLines } from '../e2e/audit.ts';
import { editDrive } from '../e2e/drives.ts';
import { nfsServer } from '../e2e/nfs-server.ts';

test('a share whose server is there is in the container from the start, on top of what the drive has', async () => {
  await using work = await workDirectory();
  const exported = join(work.path, 'exported');
  await chmod(work.path, 0o755);
  await mkdir(exported);
  await writeFile(join(exported, 'data.csv'), 'row 1\n');
  await using server = await nfsServer(exported, work.path);
  server.start();
  await using vm = await auditBundle('nfs', {
    settings: { allowed_out_ports: '[2049]', hosts_entries: '{ nfs-server.example.com: 10.0.2.101 }' },
  });
  await editDrive(
    vm.file('user_data.qcow2'),
    ['write ext_mount.conf /ext_mount.conf', 'write stage /stage'],
    { 'ext_mount.conf': 'nfs-server.example.com:/training_data\n', stage: 'share\n' },
  );
  const networkOptions = [`guestfwd=tcp:10.0.2.101:2049-cmd:busybox nc 127.0.0.1 ${server.port}`];
  const end = await vm.boot({ hostile: { networkOptions } });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  const said = await auditLines(vm);
  expect(said).toContain('the share is there from the start');
  expect(said).toContain('data: row 1');
  const mount = said.findLast((line) => line.startsWith('mount: /user_data/mnt '));
  expect(mount).toMatch(/^mount: \/user_data\/mnt nfs4 .*nosymfollow/);
});
