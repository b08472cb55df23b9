import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'share-conf-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

const path = (name: string) => join(folder, name);
/** What the script says of a file: its status and its words. */
function shareOf(name: string, ...hosts: string[]) {
  const script = templatePath('site/share-conf');
  const { status, stdout, stderr } = spawnSync('dash', [script, path(name), path('copy'), ...hosts], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, said: stdout.trimEnd(), stderr };
}

async function shareIn(content: string | Uint8Array) {
  await writeFile(path('ext_mount.conf'), content);
  return shareOf('ext_mount.conf');
}

const itself = { status: 1, said: 'its server is this VM itself', stderr: '' };

describe('a share of the VM itself', () => {
  it.each([
    'localhost:/x',
    'LocalHost.:/x',
    'localhost.localdomain:/x',
    '127.0.0.1:/x',
    '127.8.9.10:/',
    '0.0.0.0:/x',
    '127.1:/x',
    '2130706433:/x',
    '0x7f000001:/x',
    '[::1]:/x',
    '[0:0:0:0:0:0:0:1]:/x',
    '[::]:/x',
    '[::ffff:7f00:1]:/x',
    '[0:0:0:0:0:FFFF:7f01:203]:/x',
  ])('is refused: %s', async (share) => {
    expect(await shareIn(share)).toEqual(itself);
  });

  it('is refused under a name that /etc/hosts gives it, and no other', async () => {
    await writeFile(
      path('hosts'),
      '# hosts\n127.0.0.1 localhost\n127.0.1.1 CVM-1 cvm.example # mine\n192.0.2.7 nas\n',
    );
    const named = async (share: string) => {
      await writeFile(path('ext_mount.conf'), share);
      return shareOf('ext_mount.conf', path('hosts'));
    };
    for (const name of ['cvm-1', 'CVM.example', 'cvm-1.']) expect(await named(`${name}:/x`)).toEqual(itself);
    for (const name of ['nas', 'mine', 'hosts']) expect((await named(`${name}:/x`)).status).toBe(0);
  });
});

const wrongForm = {
  status: 1,
  said: 'it must hold one line, server:/export, and nothing else',
  stderr: '',
};

describe('ext_mount.conf', () => {
  it.each([
    'nfs-server.example.com:/training_data',
    '192.0.2.7:/srv/data/site-1',
    '[2001:db8::7]:/srv/data',
    'nas:/',
    'nas:/a..b/.hidden/x@y+z=1',
    `nas:/${'d'.repeat(1019)}`,
  ])('names the share %s, with a line end or without', async (share) => {
    expect(await shareIn(`${share}\n`)).toEqual({ status: 0, said: share, stderr: '' });
    expect(await shareIn(share)).toEqual({ status: 0, said: share, stderr: '' });
  });

  it.each([
    ['nothing', ''],
    ['an empty line', '\n'],
    ['a server alone', 'nas\n'],
    ['a relative export', 'nas:data\n'],
    ['options behind it', 'nas:/data rw,exec\n'],
    ['options of a mount command', '-o exec nas:/data\n'],
    ['a server that looks like an option', '-overs=3:/data\n'],
    ['a comma', 'nas:/data,exec\n'],
    ['a second line', 'nas:/data\nnas:/other\n'],
    ['an empty second line', 'nas:/data\n\n'],
    ['a comment', '# ours\nnas:/data\n'],
    ['a line end of Windows', 'nas:/data\r\n'],
    ['a blank in front', ' nas:/data\n'],
    ['a blank behind', 'nas:/data \n'],
    ['a command', 'nas:/$(reboot)\n'],
    ['a back slash', 'nas:/da\\ta\n'],
    ['a way up', 'nas:/data/../secret\n'],
    ['a way up at the end', 'nas:/data/..\n'],
    ['a user', 'root@nas:/data\n'],
    ['letters of other scripts', 'nàs:/data\n'],
    ['a path that never ends', `nas:/${'d'.repeat(1020)}\n`],
    ['more than is read', `nas:/data\n${'x'.repeat(4096)}`],
    ['bytes of zero', Uint8Array.from(Buffer.from('nas:/da\0ta\n'))],
    ['a zero at the end', Uint8Array.from(Buffer.from('nas:/data\0'))],
    ['a zero after the line', Uint8Array.from(Buffer.from('nas:/data\n\0'))],
  ])('with %s names none', async (_, content) => {
    expect(await shareIn(content)).toEqual(wrongForm);
  });

  it('is not read through a link, nor from a pipe or a folder', async () => {
    await writeFile(path('real'), 'nas:/data\n');
    await symlink(path('real'), path('link'));
    execFileSync('mkfifo', [path('pipe')]);
    for (const name of ['link', 'pipe', '.', 'missing'])
      expect(shareOf(name)).toMatchObject({ status: 1, said: 'it is not a regular file' });
  });
});
