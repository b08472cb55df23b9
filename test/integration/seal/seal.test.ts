import { execFileSync, spawnSync } from 'node:child_process';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newDiskKey, type Secret } from '../../../src/host/secret.ts';
import { type Seal, sealDrive } from '../../../src/seal/index.ts';

const mib = 2 ** 20;
const driveBytes = 512 * mib;
const headerBytes = 2 * mib;
/** Survives compression, so that it is in the segment as it is. */
const canary = randomBytes(64);

let folder: string;
let key: Secret;
let seal: Seal;
let drive: string;
let raw: string;
/** The payload, decrypted: data, hash tree and the mark of the vault, without the header. */
let plain: string;

const path = (name: string) => join(folder, name);
const tool = (name: string, ...args: string[]) => execFileSync(name, args, { encoding: 'utf8' });

async function segment(name: string, content: Buffer) {
  const source = path(`${name}.d`);
  execFileSync('mkdir', [source]);
  await writeFile(join(source, 'file'), content);
  const file = path(`${name}.squashfs`);
  tool('gensquashfs', '-q', '-D', source, '-c', 'zstd', file);
  return { name, file, bytes: (await stat(file)).size };
}

const options = async () => ({
  segments: [
    await segment(`base-${randomBytes(4).toString('hex')}`, Buffer.concat([canary, randomBytes(5 * mib)])),
    await segment(`site-${randomBytes(4).toString('hex')}`, Buffer.concat([randomBytes(5000), canary])),
  ],
  driveBytes,
  key,
});

/** dm-crypt's plain64 with 4096-byte sectors: the tweak counts sectors of 512 bytes, from the payload's start. */
async function decrypt(image: string, volumeKey: Buffer, target: string): Promise<void> {
  const payload = (await readFile(image)).subarray(headerBytes);
  for (let offset = 0; offset < payload.length; offset += 4096) {
    const tweak = Buffer.alloc(16);
    tweak.writeBigUInt64LE(BigInt(offset / 512));
    const cipher = createDecipheriv('aes-256-xts', volumeKey, tweak).setAutoPadding(false);
    cipher.update(payload.subarray(offset, offset + 4096)).copy(payload, offset);
  }
  await writeFile(target, payload);
}

function volumeKeyOf(image: string, secret: Buffer): Buffer {
  const text = execFileSync(
    'cryptsetup',
    ['luksDump', '--dump-volume-key', '--batch-mode', '--disable-locks', '--key-file=-', image],
    { input: secret, encoding: 'utf8' },
  );
  const hex = text.slice(text.indexOf('MK dump:') + 8).match(/\b[0-9a-f]{2}\b/g)!;
  return Buffer.from(hex.slice(0, 64).join(''), 'hex');
}

const verify = (file: string, rootHash = seal.rootHash) =>
  spawnSync('veritysetup', [
    ...['verify', '--no-superblock', '--format=1', '--hash=sha256', '--data-block-size=4096'],
    ...['--hash-block-size=4096', `--data-blocks=${seal.dataBlocks}`, `--hash-offset=${seal.hashOffset}`],
    ...[`--salt=${seal.salt}`, file, file, rootHash],
  ]).status;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'seal-test-'));
  key = newDiskKey();
  execFileSync('mkdir', ['-m', '700', path('work')]);
  drive = path('crypt_root.qcow2');
  seal = await sealDrive({ ...(await options()), drive, workDirectory: path('work') });
  raw = path('drive.raw');
  tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', drive, raw);
  execFileSync('truncate', ['-s', String(headerBytes + seal.vaultFirstSector * 512 + 4096), raw]);
  plain = path('plain');
  await decrypt(raw, volumeKeyOf(raw, key.reveal()), plain);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('sealDrive', () => {
  it('makes a qcow2 of the wanted size that takes only the space of its content', async () => {
    const info = JSON.parse(tool('qemu-img', 'info', '--output=json', drive));
    expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': driveBytes });
    expect(info['backing-filename']).toBeUndefined();
    expect((await stat(drive)).size).toBeLessThan(16 * mib);
    expect(await readdir(folder)).not.toContain('crypt_root.qcow2.partial');
  });

  it('keeps a copy of the LUKS header, 2 MiB, readable by its owner alone', async () => {
    const header = await readFile(seal.headerFile);
    expect(header.length).toBe(headerBytes);
    expect(header.equals((await readFile(raw)).subarray(0, headerBytes))).toBe(true);
    expect((await stat(seal.headerFile)).mode & 0o777).toBe(0o600);
  });

  it('encrypts with AES-256-XTS in sectors of 4096 bytes behind a header of 2 MiB, one keyslot', () => {
    const metadata = JSON.parse(
      tool('cryptsetup', 'luksDump', '--dump-json-metadata', '--disable-locks', seal.headerFile),
    );
    expect(Object.values(metadata.segments)).toEqual([
      {
        ...{ type: 'crypt', offset: String(headerBytes), size: 'dynamic', iv_tweak: '0' },
        ...{ encryption: 'aes-xts-plain64', sector_size: 4096 },
      },
    ]);
    expect(Object.values(metadata.keyslots)).toEqual([
      expect.objectContaining({
        key_size: 64,
        kdf: expect.objectContaining({ type: 'pbkdf2', iterations: 1000 }),
        area: expect.objectContaining({ encryption: 'aes-xts-plain64' }),
      }),
    ]);
    // Nothing is left to be done at the first opening.
    expect(metadata.config.requirements ?? {}).toEqual({});
  });

  it('writes nothing to the folder that it is started in', async () => {
    // Nobody can make a file in /proc, root neither.
    const { key: _, ...rest } = await options();
    const work = path('elsewhere');
    execFileSync('mkdir', ['-m', '700', work]);
    const request = JSON.stringify({ ...rest, drive: path('elsewhere.qcow2'), workDirectory: work });
    const source = (name: string) => JSON.stringify(join(import.meta.dirname, '../../../src', name));
    const program = `import { sealDrive } from ${source('seal/index.ts')};
      import { newDiskKey } from ${source('host/secret.ts')};
      await sealDrive({ ...${request}, key: newDiskKey() });`;
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: '/proc' });
    expect((await stat(path('elsewhere.qcow2'))).size).toBeGreaterThan(5 * mib);
  });

  it('opens with the key and with no other', () => {
    const opens = (secret: Buffer) =>
      spawnSync('cryptsetup', ['open', '--test-passphrase', '--disable-locks', '--key-file=-', raw], {
        input: secret,
      }).status;
    expect(opens(key.reveal())).toBe(0);
    expect(opens(newDiskKey().reveal())).toBe(2);
    expect(opens(Buffer.concat([key.reveal(), Buffer.from('\n')]))).toBe(2);
    expect(opens(Buffer.from(key.reveal().toString().toUpperCase()))).toBe(2);
  });

  it('holds each segment, decrypted, byte for byte where the layout says', async () => {
    const bytes = await readFile(plain);
    expect(seal.segments[1]!.firstSector).toBe(seal.segments[0]!.sectors);
    for (const { file, firstSector, sectors } of seal.segments) {
      const content = await readFile(file);
      const part = bytes.subarray(firstSector * 512, (firstSector + sectors) * 512);
      expect(part.subarray(0, content.length).equals(content)).toBe(true);
      expect(part.subarray(content.length).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('is sealed: dm-verity finds it whole, and one changed byte of data or tree broken', async () => {
    expect(seal.salt).toMatch(/^[0-9a-f]{64}$/);
    expect(seal.hashOffset).toBe(seal.dataBlocks * 4096);
    expect(verify(plain)).toBe(0);
    expect(
      verify(
        plain,
        seal.rootHash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
      ),
    ).not.toBe(0);
    for (const position of [0, 4096 * 3 + 17, seal.hashOffset - 1, seal.hashOffset + 5]) {
      const changed = path('changed');
      const bytes = await readFile(plain);
      bytes[position]! ^= 1;
      await writeFile(changed, bytes);
      expect(verify(changed), `byte ${position}`).not.toBe(0);
    }
  });

  it('leaves the vault behind the tree, on a block of its own', async () => {
    expect(seal.vaultFirstSector % 8).toBe(0);
    expect(seal.vaultFirstSector * 512).toBeGreaterThan(seal.hashOffset);
    expect(driveBytes - headerBytes - seal.vaultFirstSector * 512).toBeGreaterThan(256 * mib);
  });

  it('says under the key that there is no vault yet', async () => {
    const mark = (await readFile(plain)).subarray(seal.vaultFirstSector * 512);
    expect(mark.length).toBe(4096);
    expect(mark.toString('latin1').replace(/\0+$/, '')).toBe('cvm-vault-new\n');
    expect((await readFile(raw)).includes('cvm-vault-new')).toBe(false);
  });

  it('shows no byte of its content and none of its key in the drive or its header', async () => {
    const container = await readFile(drive);
    expect((await readFile(plain)).includes(canary)).toBe(true);
    for (const bytes of [container, await readFile(seal.headerFile), await readFile(raw)]) {
      expect(bytes.includes(canary)).toBe(false);
      expect(bytes.includes(canary.subarray(0, 16))).toBe(false);
      expect(bytes.includes(key.reveal().subarray(0, 32))).toBe(false);
      expect(bytes.includes(Buffer.from(key.reveal().toString(), 'hex').subarray(0, 16))).toBe(false);
      expect(bytes.includes('hsqs', headerBytes)).toBe(false);
    }
  });

  it('leaves no plaintext in the room for the header, which the payload passed through', async () => {
    const payload = await readFile(plain);
    const bytes = await readFile(raw);
    for (let at = 0; at + 4096 <= 5 * mib; at += 4096) {
      const block = payload.subarray(at, at + 4096);
      if (block.some((byte) => byte !== 0)) expect(bytes.includes(block), `block at ${at}`).toBe(false);
    }
  });

  it('takes a new volume key and salt each time, also for the same content and disk key', async () => {
    execFileSync('mkdir', ['-m', '700', path('again')]);
    const second = path('second.qcow2');
    const again = await sealDrive({
      segments: seal.segments.map(({ name, file, sectors }) => ({ name, file, bytes: sectors * 512 })),
      ...{ driveBytes, key, drive: second, workDirectory: path('again') },
    });
    expect(again.salt).not.toBe(seal.salt);
    expect(again.rootHash).not.toBe(seal.rootHash);
    expect(volumeKeyOf(again.headerFile, key.reveal())).not.toEqual(volumeKeyOf(raw, key.reveal()));
  });
});

describe('sealDrive, when it cannot', () => {
  async function attempt(more: object) {
    const own = await mkdtemp(join(folder, 'attempt-'));
    const target = join(own, 'crypt_root.qcow2');
    const run = sealDrive({ ...(await options()), drive: target, workDirectory: own, ...more });
    return { error: await run.then(() => undefined).catch((thrown: unknown) => thrown), own };
  }

  it('says how large the root drive must be', async () => {
    const { error, own } = await attempt({ driveBytes: 64 * mib });
    expect(error).toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/^cannot seal the root drive: .*root_drive_size gives 0\.06 GiB$/),
      details: expect.arrayContaining([expect.stringMatching(/^base-\w+ takes 0\.0\d GiB$/)]),
      hint: 'set root_drive_size to 1 or more',
    });
    expect(await readdir(own)).toEqual([]);
  });

  it.each([
    'hashing (dm-verity)',
    'encrypting (LUKS2)',
    'writing qcow2',
  ])('leaves nothing in the place of the drive when it is stopped while %s', async (step) => {
    const stop = new AbortController();
    const reason = new Error('stopped');
    const { error, own } = await attempt({
      signal: stop.signal,
      progress: (text: string) => text === step && stop.abort(reason),
    });
    expect(error).toBe(reason);
    expect(await readdir(own)).not.toContain('crypt_root.qcow2');
  });

  it('leaves the drive that is there already as it is', async () => {
    const own = await mkdtemp(join(folder, 'kept-'));
    const target = join(own, 'crypt_root.qcow2');
    await writeFile(target, 'before');
    await expect(
      sealDrive({
        ...(await options()),
        segments: [{ name: 'base', file: join(own, 'absent'), bytes: 4096 }],
        ...{ drive: target, workDirectory: own },
      }),
    ).rejects.toThrow('ENOENT');
    expect(await readFile(target, 'utf8')).toBe('before');
    await using handle = await open(target);
    expect((await handle.stat()).size).toBe(6);
  });
});
