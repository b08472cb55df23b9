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
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readStartupKit, type StartupKitOptions } from '../../../src/drives/startup-kit.ts';
import { certificate } from '../../support/certificate.ts';
import { secretFiles } from '../../support/secrets.ts';

const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

let top: string;
let source: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'startup-kit-'));
  source = join(top, 'site-1');
  await mkdir(source);
  await chmod(source, 0o755);
  await put('startup/sub_start.sh', '#!/bin/sh\n', 0o755);
  await put('startup/client.crt', certificate);
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

test('the sealed list holds every plain entry in the order of LC_ALL=C sort, and nothing of what is sealed', async () => {
  const { sealedList } = await read();
  expect(sealedList.split('\n')).toEqual([
    'd 0755 - nvflare',
    'd 0755 - nvflare/local',
    'd 0755 - nvflare/startup',
    ...[
      `f 0644 ${sha256(certificate)} nvflare/startup/client.crt`,
      `f 0644 ${sha256('{}\n')} nvflare/local/privacy.json`,
    ].sort(),
    `f 0755 ${sha256('#!/bin/sh\n')} nvflare/startup/sub_start.sh`,
    '',
  ]);
});

test('private keys are in the sealed tree alone, by name and by content', async () => {
  const kit = await read();
  expect(kit.sealedFiles).toEqual(['nvflare/secret/deep/token.txt', 'nvflare/startup/client.key']);
  expect(await readFile(join(kit.sealedFolder, 'nvflare/startup/client.key'), 'utf8')).toBe(key);
  expect((await stat(join(kit.sealedFolder, 'nvflare/startup/client.key'))).mode & 0o777).toBe(0o600);
  const plain = await tree(kit.plainFolder);
  for (const path of plain) {
    const found = join(kit.plainFolder, path);
    if ((await stat(found)).isFile()) expect(await readFile(found, 'utf8')).not.toContain('PRIVATE KEY');
  }
  expect(plain).not.toContain('nvflare/startup/client.key');
});

test('only what is known to be public is plain, and not even the names of folders of other files', async () => {
  await put('local/resources.json', '{}');
  await put('patients/west/list.csv', 'a');
  const kit = await read();
  expect(await tree(kit.plainFolder)).toEqual([
    ...['nvflare', 'nvflare/local', 'nvflare/local/privacy.json', 'nvflare/startup'],
    ...['nvflare/startup/client.crt', 'nvflare/startup/sub_start.sh'],
  ]);
  expect(kit.plainFiles).toEqual([
    ...['nvflare/local/privacy.json', 'nvflare/startup/client.crt', 'nvflare/startup/sub_start.sh'],
  ]);
  expect(kit.sealedFiles).toEqual([
    ...['nvflare/local/resources.json', 'nvflare/patients/west/list.csv', 'nvflare/secret/deep/token.txt'],
    'nvflare/startup/client.key',
  ]);
});

test('the sealed tree has each folder of the kit with its mode, which overlayfs takes from there', async () => {
  await chmod(join(source, 'local'), 0o711);
  const kit = await read();
  const modeOf = async (path: string) => (await stat(path)).mode & 0o7777;
  for (const [path, mode] of [
    ...([['', 0o755]] as const),
    ...([['nvflare/transfer', 0o750]] as const),
    ...([['nvflare/local', 0o711]] as const),
  ])
    expect([path, await modeOf(join(kit.sealedFolder, path))]).toEqual([path, mode]);
  expect(await modeOf(join(kit.plainFolder, 'nvflare/local'))).toBe(0o711);
  expect(kit.sealedList).toContain('d 0711 - nvflare/local\n');
});

test.each([
  'nvflare',
  'data',
])('secrets of each known form, and of forms that nobody named, are sealed below %s', async (name) => {
  const secrets = secretFiles();
  expect(Object.keys(secrets).length).toBeGreaterThan(35);
  for (const folder of ['', 'startup/', 'local/', 'local/custom/'])
    for (const [file, content] of Object.entries(secrets)) await put(`${folder}${file}`, content);
  const kit = await read({ folders: { [name]: source } });
  for (const folder of ['', 'startup/', 'local/', 'local/custom/'])
    for (const file of Object.keys(secrets)) expect(kit.sealedFiles).toContain(`${name}/${folder}${file}`);
  const own = ['local/privacy.json', 'startup/client.crt', 'startup/sub_start.sh'];
  expect(kit.plainFiles).toEqual(name === 'nvflare' ? own.map((path) => `nvflare/${path}`) : []);
  expect(kit.plainFiles.length + kit.sealedFiles.length).toBe(4 * Object.keys(secrets).length + 4);
});

describe('user_config_plain', () => {
  const folders = () => ({ data: source });

  test('opens a file, or a folder with all in it, and nothing beside', async () => {
    await put('tables/a.csv', 'a');
    await put('tables/deep/b.csv', 'b');
    await mkdir(join(source, 'tables/empty'), { mode: 0o755 });
    await put('tables.txt', 'c');
    await put('local/notes', 'd');
    const plain = ['data/tables/', 'data/local/notes'];
    const kit = await read({ folders: folders(), plain });
    expect(kit.plainFiles).toEqual(['data/local/notes', 'data/tables/a.csv', 'data/tables/deep/b.csv']);
    expect(kit.sealedList).toMatch(/^d 0\d{3} - data\/tables\/empty$/m);
    expect(kit.sealedFiles).toContain('data/tables.txt');
    expect(kit.sealedFiles).toContain('data/local/privacy.json');
    expect(kit.warnings).toEqual([]);
  });

  test('opens all of a folder of user_config by its name and a slash', async () => {
    const kit = await read({ folders: folders(), plain: ['data/'] });
    expect(kit.sealedFiles).toEqual(['data/secret/deep/token.txt', 'data/startup/client.key']);
  });

  test('opens no private key, and says so', async () => {
    const kit = await read({ folders: folders(), plain: ['data/startup/', 'data/secret/deep/token.txt'] });
    expect(kit.sealedFiles).toContain('data/startup/client.key');
    expect(kit.sealedFiles).toContain('data/secret/deep/token.txt');
    expect(kit.warnings).toEqual([
      'data/secret/deep/token.txt stays sealed, though user_config_plain opens it: it holds a private key',
      'data/startup/client.key stays sealed, though user_config_plain opens it: it holds a private key',
    ]);
  });

  test('that fits nothing is a warning, but where this site has no such folder', async () => {
    const plain = ['data/startup', 'data/typo/', 'data/absent.txt', 'other/x', 'other/'];
    expect((await read({ folders: folders(), plain })).warnings).toEqual([
      expect.stringMatching(/names data\/startup, and .* no such file; the name of a folder ends in "\/"$/),
      expect.stringMatching(/names data\/typo\/, and .* no such folder$/),
      expect.stringMatching(/names data\/absent\.txt, and .* no such file/),
    ]);
  });
});

test('modes are kept, without set-uid bits and with a warning', async () => {
  await put('startup/odd.sh', 'x', 0o4751);
  const kit = await read({ plain: ['nvflare/startup/odd.sh'] });
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
  const kit = await read({ plain: ['nvflare/local/'] });
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

test('a plain part over the limits is refused before it is staged whole', async () => {
  await expect(read({ limits: { bytes: 2 ** 20, entries: 5 } })).rejects.toThrow(
    /more than 5 files and folders/,
  );
  await put('local/big', Buffer.alloc(2 ** 20));
  const limits = { bytes: 2 ** 20, entries: 100 };
  await expect(read({ limits, plain: ['nvflare/local/'] })).rejects.toThrow(/local\/big.*1 MiB/);
});

test('what is sealed may be more than the plain part, and is counted', async () => {
  const before = await read();
  await put('local/big', Buffer.alloc(3 * 2 ** 20));
  for (let n = 0; n < 20; n += 1) await put(`local/many/${n}`, '');
  const kit = await read({ limits: { bytes: 2 ** 20, entries: 12 } });
  expect(kit.sealedFiles).toContain('nvflare/local/big');
  expect(kit.sealedBytes - before.sealedBytes).toBe(3 * 2 ** 20);
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
  const { sealedList } = await read({ plain: ['nvflare/local/'] });
  expect(sealedList.indexOf('\uff5e')).toBeLessThan(sealedList.indexOf('\u{1f600}'));
});
