import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { auditBundle, auditLines } from './audit.ts';
import { doorbell } from './doorbell.ts';
import { editDrive } from './drives.ts';
import { nfsServer } from './nfs-server.ts';

test('a share whose server comes late appears read-only in the running workload, and gives it no program and no link', async () => {
  await using work = await workDirectory();
  const exported = join(work.path, 'exported');
  await chmod(work.path, 0o755);
  await mkdir(exported);
  await writeFile(join(exported, 'data.csv'), 'row 1\n');
  await symlink('/user_config/nvflare/startup/client.key', join(exported, 'link'));
  await writeFile(join(exported, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  await using server = await nfsServer(exported, work.path);
  await using vm = await auditBundle('nfs', {
    user: '1000:1000',
    settings: { allowed_out_ports: '[111, 2049]', hosts_entries: '{ nfs-server.example.com: 10.0.2.101 }' },
  });
  await editDrive(
    vm.file('user_data.qcow2'),
    ['write ext_mount.conf /ext_mount.conf', 'write stage /stage'],
    { 'ext_mount.conf': 'nfs-server.example.com:/training_data\n', stage: 'share\n' },
  );

  // The server begins once the workload runs.
  using bell = await doorbell(work.path, () => server.start());
  const networkOptions = [
    `guestfwd=tcp:10.0.2.101:2049-cmd:busybox nc 127.0.0.1 ${server.port}`,
    bell.networkOption,
  ];
  const end = await vm.boot({ hostile: { networkOptions } });

  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  const log = (await vm.log('boot.log')) ?? '';
  expect(log).toMatch(
    /E69: the share nfs-server\.example\.com:\/training_data is not mounted: .*; trying on/,
  );
  expect(log).toMatch(
    /the share nfs-server\.example\.com:\/training_data is mounted at \/user_data\/mnt \(ro\)/,
  );
  const said = await auditLines(vm);
  expect(said).not.toContain('the share is there from the start');
  expect(said).toContain('data: row 1');
  for (const what of ['a link is followed', 'a program runs', 'the share can be written'])
    expect(said).not.toContain(what);
  expect(await readdir(exported)).not.toContain('written');
  // The last one lies on top.
  const mount = said.findLast((line) => line.startsWith('mount: /user_data/mnt '));
  expect(mount).toMatch(/^mount: \/user_data\/mnt nfs4 /);
  for (const flag of ['ro', 'nosuid', 'nodev', 'noexec', 'nosymfollow'])
    expect(mount?.split(' ').at(-1)?.split(',')).toContain(flag);
  const ports = said.flatMap((line) => /^from port (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(ports.length).toBeGreaterThan(0);
  for (const port of ports) expect(port).toBeGreaterThanOrEqual(1024);
  expect(said.at(-1)).toBe('end');
});
