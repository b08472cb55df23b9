import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readStartupKit, type StartupKitOptions } from '../../../src/drives/startup-kit.ts';

const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

let top: string;
let source: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'startup-kit-'));
  source = join(top, 'site-1');
  await mkdir(source);
  await chmod(source, 0o755);
  await put('startup/sub_start.sh', '#!/bin/sh\n', 0o755);
  await put('startup/client.crt', 'certificate\n');
  await put('startup/client.key', key, 0o600);
  await put('local/privacy.json', '{}\n');
  await put('secret/deep/token.txt', `note\n${key}`);
  await mkdir(join(source, 'transfer'));
  await chmod(join(source, 'transfer'), 0o750);
});
afterEach(async () => {
  await rm(top, { recursive: true, force: true });
});

async function put(path: string, content: string | Buffer, mode = 0o644): Promise<void> {
  const file = join(source, path);
  await mkdir(join(file, '..'), { recursive: true, mode: 0o755 });
  await writeFile(file, content);
  await chmod(file, mode);
}

async function read(options: Partial<StartupKitOptions> = {}) {
  const work = await mkdtemp(join(top, 'work-'));
  return await readStartupKit({ folders: { nvflare: source }, workDirectory: work, ...options });
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const tree = async (folder: string) => (await readdir(folder, { recursive: true })).sort();

test('the sealed list holds every plain entry in the order of LC_ALL=C sort, and no private file', async () => {
  const { sealedList } = await read();
  expect(sealedList.split('\n')).toEqual([
    'd 0750 - nvflare/transfer',
    'd 0755 - nvflare',
    'd 0755 - nvflare/local',
    'd 0755 - nvflare/secret',
    'd 0755 - nvflare/secret/deep',
    'd 0755 - nvflare/startup',
    ...[
      `f 0644 ${sha256('certificate\n')} nvflare/startup/client.crt`,
      `f 0644 ${sha256('{}\n')} nvflare/local/privacy.json`,
    ].sort(),
    `f 0755 ${sha256('#!/bin/sh\n')} nvflare/startup/sub_start.sh`,
    '',
  ]);
});

test('private keys are in the private tree alone, by name and by content', async () => {
  const kit = await read();
  expect(kit.privateFiles).toEqual(['nvflare/secret/deep/token.txt', 'nvflare/startup/client.key']);
  expect(await readFile(join(kit.privateFolder, 'nvflare/startup/client.key'), 'utf8')).toBe(key);
  expect((await stat(join(kit.privateFolder, 'nvflare/startup/client.key'))).mode & 0o777).toBe(0o600);
  const plain = await tree(kit.plainFolder);
  expect(plain).toContain('nvflare/secret/deep');
  for (const path of plain) {
    const found = join(kit.plainFolder, path);
    if ((await stat(found)).isFile()) expect(await readFile(found, 'utf8')).not.toContain('PRIVATE KEY');
  }
  expect(plain).not.toContain('nvflare/startup/client.key');
  expect(await tree(kit.privateFolder)).not.toContain('nvflare/local');
});

test('modes are kept, without set-uid bits and with a warning', async () => {
  await put('startup/odd.sh', 'x', 0o4751);
  const kit = await read();
  expect(kit.sealedList).toMatch(/^f 0751 [0-9a-f]{64} nvflare\/startup\/odd\.sh$/m);
  expect((await stat(join(kit.plainFolder, 'nvflare/startup/odd.sh'))).mode & 0o7777).toBe(0o751);
  expect(kit.warnings).toEqual([expect.stringMatching(/odd\.sh: its set-uid.*4000/)]);
});

test('an editable file is listed without content and warned about', async () => {
  await put('local/resources.json', '{}');
  const kit = await read({ editable: ['nvflare/local/privacy.json', 'nvflare/local/resources.json'] });
  expect(kit.sealedList).toContain(
    '\ne - - nvflare/local/privacy.json\ne - - nvflare/local/resources.json\nf ',
  );
  expect(kit.sealedList).not.toMatch(/^f .*privacy\.json$/m);
  expect(kit.warnings[0]).not.toMatch(/any code/);
  expect(kit.warnings[1]).toMatch(/any code as the workload/);
});

test.each([
  ['absent', 'nvflare/local/absent.json', /no such file/],
  ['a folder', 'nvflare/local', /is a folder/],
  ['a private key', 'nvflare/startup/client.key', /private key/],
])('an editable file that is %s is refused', async (_, path, message) => {
  await expect(read({ editable: [path] })).rejects.toThrow(message);
});

test('links, pipes and sockets are refused by name', async () => {
  await symlink('/etc/passwd', join(source, 'local/link'));
  await expect(read()).rejects.toThrow(/local\/link in user_config: it is a symbolic link/);
  await rm(join(source, 'local/link'));
  const server = createServer().listen(join(source, 'local/socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  await expect(read()).rejects.toThrow(/it is a socket/);
  server.close();
});

test('a link to a folder is refused inside, and followed where the configuration names it', async () => {
  const named = join(top, 'named');
  await symlink(source, named);
  expect((await read({ folders: { nvflare: named } })).sealedList).toContain('d 0755 - nvflare\n');
  await symlink(source, join(source, 'loop'));
  await expect(read()).rejects.toThrow(/loop in user_config: it is a symbolic link/);
});

test('hard links become files of their own', async () => {
  await link(join(source, 'startup/client.crt'), join(source, 'local/copy.crt'));
  const kit = await read();
  expect((await stat(join(kit.plainFolder, 'nvflare/local/copy.crt'))).nlink).toBe(1);
});

test.each([
  ['a newline', Buffer.from('a\nb'), /control character/],
  ['an escape', Buffer.from('a\u001b[2Jb'), /control character/],
  ['bytes that are no UTF-8', Buffer.from([0x61, 0xff]), /not UTF-8/],
])('a name with %s is refused', async (_, name, message) => {
  await writeFile(Buffer.concat([Buffer.from(`${source}/local/`), name]), '');
  await expect(read()).rejects.toThrow(message);
});

test('a kit over the limits is refused before it is staged whole', async () => {
  await expect(read({ limits: { bytes: 2 ** 20, entries: 5 } })).rejects.toThrow(
    /more than 5 files and folders/,
  );
  await put('local/big', Buffer.alloc(2 ** 20));
  await expect(read({ limits: { bytes: 2 ** 20, entries: 100 } })).rejects.toThrow(/local\/big.*1 MiB/);
});

test('an absent folder, a file for a folder and an unusable name are refused', async () => {
  await expect(read({ folders: { nvflare: join(top, 'absent') } })).rejects.toThrow(
    /user_config\.nvflare.*no such folder/,
  );
  await expect(read({ folders: { nvflare: join(source, 'startup/client.crt') } })).rejects.toThrow(
    /not a folder/,
  );
  for (const name of ['..', '.x', 'lost+found', 'a/b', 'a b', '']) {
    await expect(read({ folders: { [name]: source } })).rejects.toThrow(/cannot be the name of a folder/);
  }
});

test('no user_config at all gives an empty list', async () => {
  const kit = await read({ folders: {} });
  expect(kit.sealedList).toBe('');
  expect(await tree(kit.plainFolder)).toEqual([]);
});

test('names are sorted by bytes, not by UTF-16 units', async () => {
  await put('local/\u{1f600}', 'same');
  await put('local/\uff5e', 'same');
  const { sealedList } = await read();
  expect(sealedList.indexOf('\uff5e')).toBeLessThan(sealedList.indexOf('\u{1f600}'));
});
