import { randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openStoredGzip } from '../../../src/bundle/source/stored-gzip.ts';
import { MalformedError } from '../../../src/host/tar/bytes.ts';
import { readSitePart } from '../../../src/inspect/initrd/read.ts';
import { parseSealed, shellValues } from '../../../src/inspect/initrd/sealed.ts';
import { zstdFrames } from '../../../src/inspect/initrd/zstd-frames.ts';
import { bufferBlocks } from '../../../src/inspect/inside.ts';
import { readLuksHeader } from '../../../src/inspect/luks/header.ts';
import { openQcow2 } from '../../../src/inspect/qcow2/drive.ts';
import { treeLevels } from '../../../src/inspect/verity/tree.ts';
import { qcow2Image } from './qcow2-image.ts';

describe('openStoredGzip', () => {
  const content = randomBytes(300_000);
  const stored = gzipSync(content, { level: 0 });

  it('reads any part of the content in place', async () => {
    const opened = (await openStoredGzip(bufferBlocks(stored)))!;
    expect(opened.size).toBe(content.length);
    for (const [offset, length] of [
      [0, 300_000],
      [65_530, 10],
      [65_535, 1],
      [131_000, 140_000],
      [299_999, 1],
      [5, 0],
    ]) {
      expect((await opened.read(offset!, length!)).equals(content.subarray(offset!, offset! + length!))).toBe(
        true,
      );
    }
    await expect(opened.read(299_999, 2)).rejects.toThrow(MalformedError);
  });

  it.each([
    ['deflated', gzipSync(Buffer.alloc(100_000))],
    ['cut short', stored.subarray(0, -1)],
    ['two in a row', Buffer.concat([stored, stored])],
    ['with a wrong length', Buffer.from(stored).fill(1, 11, 13)],
    ['no gzip', randomBytes(100)],
    ['empty', Buffer.alloc(0)],
  ])('leaves what is %s to others', async (_, bytes) => {
    expect(await openStoredGzip(bufferBlocks(bytes))).toBeUndefined();
  });
});

/** A newc archive. */
function cpio(files: Record<string, string | Buffer>, mode = '000081a4'): Buffer {
  const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const entry = (name: string, content: Buffer, type: string) => {
    const hex = (value: number) => value.toString(16).padStart(8, '0');
    const fields = [hex(1), type, ...Array(4).fill(hex(0)), hex(content.length), ...Array(4).fill(hex(0))];
    const head = `070701${fields.join('')}${hex(name.length + 1)}${hex(0)}${name}\0`;
    return Buffer.concat([pad(Buffer.from(head)), pad(content)]);
  };
  const entries = Object.entries(files).map(([name, content]) => entry(name, Buffer.from(content), mode));
  return Buffer.concat([...entries, entry('TRAILER!!!', Buffer.alloc(0), hex0)]);
}
const hex0 = '00000000';

describe('readSitePart', () => {
  const archives = (...all: Buffer[]) =>
    bufferBlocks(
      Buffer.concat(
        all
          .flatMap((one) => [zstdCompressSync(one), Buffer.alloc(0)])
          .map((one) => Buffer.concat([one, Buffer.alloc((4 - (one.length % 4)) % 4)])),
      ),
    );

  it('gives the files of /etc/cvm, of two with one name the last', async () => {
    const initrd = archives(
      cpio({ init: 'x', 'etc/cvm/hosts': 'first', 'etc/cvm/layout': 'a' }),
      cpio({ './etc/cvm/hosts': 'second', 'etc/cvmx': 'no', 'usr/etc/cvm/hosts': 'no' }),
    );
    const files = await readSitePart(initrd);
    expect(Object.fromEntries([...files].map(([name, bytes]) => [name, String(bytes)]))).toEqual({
      hosts: 'second',
      layout: 'a',
    });
  });

  it.each([
    [
      'a link in place of a file',
      () => archives(cpio({ 'etc/cvm/settings': '/etc/passwd' }, '0000a1ff')),
      /not a regular file/,
    ],
    ['what is no archive', () => bufferBlocks(Buffer.from('070701 and so on')), /something else than zstd/],
    [
      'what unpacks to no archive',
      () => archives(Buffer.from('hello, hello, hello, hello'.repeat(9))),
      /no cpio archive/,
    ],
    [
      'a frame that is cut off',
      () => bufferBlocks(zstdCompressSync(randomBytes(5000)).subarray(0, 4000)),
      /end|inside|early/,
    ],
    [
      'a damaged frame',
      () => {
        const bytes = zstdCompressSync(cpio({ 'etc/cvm/hosts': 'x'.repeat(3000) }));
        return bufferBlocks(Buffer.concat([bytes.subarray(0, -10), Buffer.alloc(10, 7)]));
      },
      /./,
    ],
  ])('refuses %s', async (_, initrd, words) => {
    await expect(readSitePart(initrd())).rejects.toThrow(words);
    await expect(readSitePart(initrd())).rejects.toBeInstanceOf(MalformedError);
  });

  it('finds each frame by its headers, for data of every kind', async () => {
    const all = [Buffer.alloc(0), Buffer.alloc(1_000_000), randomBytes(300_000), Buffer.from('abc')].map(
      (one) => zstdCompressSync(one),
    );
    let offset = 0;
    const padded = all.map((one) => Buffer.concat([one, Buffer.alloc((4 - (one.length % 4)) % 4)]));
    const expected = all.map((one, index) => {
      const extent = { offset, length: one.length };
      offset += padded[index]!.length;
      return extent;
    });
    expect(await zstdFrames(bufferBlocks(Buffer.concat(padded)))).toEqual(expected);
  });
});

describe('the settings of an initrd', () => {
  it('are read as the shell reads them', () => {
    expect(shellValues("a='x'\nb='it'\\''s'\nc='two\nlines'\nnot a line\n")).toEqual({
      a: 'x',
      b: "it's",
      c: 'two\nlines',
    });
  });

  it('that lack a file are refused with its name', () => {
    expect(() => parseSealed(new Map())).toThrow(/etc\/cvm\/settings/);
  });
});

describe('readLuksHeader', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(32_768)],
    ['another version', Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x01', 'latin1'), Buffer.alloc(32_768)])],
    [
      'a size beyond its end',
      (() => {
        const header = Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x02', 'latin1'), Buffer.alloc(32_760)]);
        header.writeBigUInt64BE(4n * 2n ** 20n, 8);
        return header;
      })(),
    ],
  ])('refuses %s', async (_, header) => {
    await expect(readLuksHeader(bufferBlocks(header))).rejects.toBeInstanceOf(MalformedError);
  });
});

describe('openQcow2', () => {
  it('reads clusters, and zeros between them', async () => {
    const drive = await openQcow2(bufferBlocks(qcow2Image()));
    const bytes = await drive.read(0xffff, 0x10002);
    expect([bytes[0], bytes[1], bytes[0x10000], bytes[0x10001]]).toEqual([1, 0, 0, 2]);
    const runs = [];
    for await (const run of drive.allocated()) runs.push(run);
    expect(runs).toEqual([
      { offset: 0, length: 0x10000 },
      { offset: 0x20000, length: 0x10000 },
    ]);
    await expect(drive.read(2 ** 20 - 1, 2)).rejects.toThrow(MalformedError);
  });

  it.each([
    ['a backing file', (file: Buffer) => file.writeBigUInt64BE(104n, 8)],
    ['an external data file', (file: Buffer) => file.writeBigUInt64BE(4n, 72)],
    ['encryption', (file: Buffer) => file.writeUInt32BE(1, 32)],
    ['clusters of no size', (file: Buffer) => file.writeUInt32BE(8, 20)],
    ['a size beyond numbers', (file: Buffer) => file.writeBigUInt64BE(2n ** 63n, 24)],
    ['too short a first table', (file: Buffer) => file.writeUInt32BE(0, 36)],
    ['a first table outside of the file', (file: Buffer) => file.writeBigUInt64BE(0x70000n, 40)],
  ])('refuses %s', async (_, change) => {
    await expect(openQcow2(bufferBlocks(qcow2Image(change)))).rejects.toBeInstanceOf(MalformedError);
  });

  it.each([
    ['a second table outside of the file', (file: Buffer) => file.writeBigUInt64BE(0xff0000n, 0x20000)],
    ['a cluster outside of the file', (file: Buffer) => file.writeBigUInt64BE(0xff0000n, 0x30000)],
    ['a compressed cluster', (file: Buffer) => file.writeBigUInt64BE(1n << 62n, 0x30000)],
  ])('refuses %s when it is read', async (_, change) => {
    const drive = await openQcow2(bufferBlocks(qcow2Image(change)));
    await expect(drive.read(0, 1)).rejects.toBeInstanceOf(MalformedError);
  });

  it('stops at tables that lead to the same place again and again', async () => {
    const many = qcow2Image((file) => {
      for (let entry = 0; entry < 16; entry += 1) file.writeBigUInt64BE(0x40000n, 0x30000 + entry * 8);
    });
    const drive = await openQcow2(bufferBlocks(many));
    const walk = async () => {
      for await (const _ of drive.allocated());
    };
    await expect(walk()).rejects.toThrow(/again and again/);
  });
});

describe('treeLevels', () => {
  it.each([
    [1, [1]],
    [128, [1]],
    [129, [1, 2]],
    [16_385, [1, 2, 129]],
  ])('of %i blocks', (dataBlocks, blocks) => {
    const { levels, end } = treeLevels({ hashOffset: 8192, dataBlocks });
    expect(levels.map((level) => level.blocks)).toEqual(blocks);
    expect(end).toBe(8192 + blocks.reduce((sum, count) => sum + count, 0) * 4096);
  });
});
