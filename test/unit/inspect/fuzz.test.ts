import { randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { filesInTar } from '../../../src/bundle/source/archive.ts';
import { openStoredGzip } from '../../../src/bundle/source/stored-gzip.ts';
import { UserError } from '../../../src/host/errors.ts';
import { MalformedError } from '../../../src/host/tar/bytes.ts';
import { readSitePart } from '../../../src/inspect/initrd/read.ts';
import { bufferBlocks } from '../../../src/inspect/inside.ts';
import { readLuksHeader } from '../../../src/inspect/luks/header.ts';
import { apkPackages, dpkgPackages } from '../../../src/inspect/packages/package.ts';
import { openQcow2 } from '../../../src/inspect/qcow2/drive.ts';
import { qcow2Image } from './qcow2-image.ts';

const rounds = 300;

/** The bytes with a few of them changed, sometimes cut short. */
function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const random = randomBytes(40);
  const near = random[0]! < 128 ? Math.min(512, copy.length) : copy.length;
  for (let change = 0; change <= random[1]! % 4; change += 1)
    copy[random.readUInt32LE(4 + change * 4) % near] = random[30 + change]!;
  return random[2]! < 40 ? copy.subarray(0, random.readUInt32LE(20) % copy.length) : copy;
}

async function drain(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}

const tar = () => {
  const header = Buffer.alloc(512);
  header.write('site/cvm_885fe8f608b3/vmlinuz');
  header.write('0000644\0', 100);
  header.write('00000001000\0', 124);
  header.write('        0', 148);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, Buffer.alloc(2048)]);
};

const readers: [string, Buffer, (bytes: Buffer) => Promise<unknown>][] = [
  [
    'a qcow2 drive',
    qcow2Image(),
    async (bytes) => {
      const drive = await openQcow2(bufferBlocks(bytes));
      await drain(drive.allocated());
      await drive.read(0, Math.min(drive.size, 2 ** 20));
    },
  ],
  [
    'an initrd',
    zstdCompressSync(Buffer.from(`070701${'0'.repeat(88)}0000000B00000000TRAILER!!!\0\0\0\0`)),
    (bytes) => readSitePart(bufferBlocks(bytes)),
  ],
  [
    'a LUKS header',
    Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x02\0\0\0\0\0\0\x40\0', 'latin1'), randomBytes(32_000)]),
    (bytes) => readLuksHeader(bufferBlocks(bytes)),
  ],
  ['an archive', tar(), (bytes) => filesInTar('x.tgz', bufferBlocks(bytes))],
  [
    'a gzip file',
    gzipSync(randomBytes(200_000), { level: 0 }),
    async (bytes) => {
      const opened = await openStoredGzip(bufferBlocks(bytes));
      await opened?.read(0, opened.size);
    },
  ],
  [
    'package databases',
    Buffer.from('Package: a\nVersion: 1\n\nP:x\nV:1\n\n'.repeat(20)),
    async (bytes) => {
      dpkgPackages(bytes.toString());
      apkPackages(bytes.toString());
    },
  ],
];

describe('whatever bytes are changed', () => {
  it.each(readers)('%s is read, or refused in words of its own', async (_, bytes, read) => {
    for (let round = 0; round < rounds; round += 1) {
      const input = damaged(bytes);
      const failure = await read(input).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined || failure instanceof MalformedError || failure instanceof UserError)
        continue;
      expect.fail(`${failure} for ${input.subarray(0, 512).toString('hex')}`);
    }
  });
});
