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
function shareOf(name: string) {
  const script = templatePath('site/share-conf');
  const { status, stdout, stderr } = spawnSync('dash', [script, path(name), path('copy')], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, said: stdout.trimEnd(), stderr };
}

async function shareIn(content: string | Uint8Array) {
  await writeFile(path('ext_mount.conf'), content);
  return shareOf('ext_mount.conf');
}

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
