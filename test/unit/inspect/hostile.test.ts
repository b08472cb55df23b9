import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/host/secret.ts';
import { MalformedError } from '../../../src/host/tar/bytes.ts';
import { bufferBlocks, type Inside } from '../../../src/inspect/inside.ts';
import type { LuksMetadata } from '../../../src/inspect/luks/header.ts';
import { unlockVolumeKey } from '../../../src/inspect/luks/keyslot.ts';
import { openPayload } from '../../../src/inspect/opened.ts';
import { dpkgPackages } from '../../../src/inspect/packages/package.ts';

describe('what a host or the author of an image wrote', () => {
  it('a package whose source is one long line of brackets takes no time of its square', () => {
    const source = `lib${' ('.repeat(100_000)}`;
    const before = performance.now();
    const packages = dpkgPackages(`Package: one\nVersion: 1\nSource: ${source}\n`);
    expect(performance.now() - before).toBeLessThan(1000);
    expect(packages).toMatchObject([{ name: 'one', source: 'lib' }]);
  });

  it('a layer that lies in the vault is not handed to other programs', async () => {
    const sealed = {
      segments: [
        { name: 'base', offset: 0, bytes: 4096 },
        { name: 'site', offset: 2 ** 20, bytes: 4096 },
      ],
      verity: { rootHash: Buffer.alloc(32), salt: Buffer.alloc(32), hashOffset: 4096, dataBlocks: 1 },
    };
    const inside = {
      sealed: { value: sealed },
      luks: { value: {} },
      rootDrive: { value: bufferBlocks(Buffer.alloc(2 ** 22)) },
      volumeKey: { value: new Secret(Buffer.alloc(64)) },
    } as unknown as Inside;
    await expect(openPayload('cvm_1', inside)).rejects.toThrow('site lies outside of what is sealed');
  });

  it('a payload shorter than it claims is a sentence, not a stack trace', async () => {
    const verity = {
      rootHash: Buffer.alloc(32),
      salt: Buffer.alloc(32),
      hashOffset: 2 ** 40,
      dataBlocks: 2 ** 28,
    };
    const inside = {
      sealed: { value: { segments: [], verity } },
      luks: { value: {} },
      rootDrive: { value: bufferBlocks(Buffer.alloc(2 ** 22)) },
      volumeKey: { value: new Secret(Buffer.alloc(64)) },
    } as unknown as Inside;
    await expect(openPayload('cvm_1', inside)).rejects.toThrow(/^cannot open the sealed drive of cvm_1: /);
  });

  it('a header of many keyslots is not tried one by one', async () => {
    const salt = Buffer.alloc(32);
    const slot = {
      type: 'luks2',
      key_size: 64,
      af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
      area: { type: 'raw', offset: 0, size: 256_000, encryption: 'aes-xts-plain64', key_size: 64 },
      kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1_000_000, salt },
    };
    const names = Array.from({ length: 40 }, (_, index) => String(index));
    const metadata = {
      keyslots: Object.fromEntries(names.map((name) => [name, slot])),
      digests: {
        0: {
          type: 'pbkdf2',
          keyslots: names,
          segments: [],
          hash: 'sha256',
          iterations: 1000,
          salt,
          digest: salt,
        },
      },
    } as unknown as LuksMetadata;
    const tried = unlockVolumeKey(
      bufferBlocks(Buffer.alloc(2 ** 18)),
      metadata,
      new Secret(Buffer.from('key')),
    );
    await expect(tried).rejects.toThrow(MalformedError);
  });
});
