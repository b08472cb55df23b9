import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect, MalformedError } from '../../../src/host/tar/bytes.ts';
import { readable, type TarEntry } from '../../../src/host/tar/entry.ts';
import { checksum } from '../../../src/host/tar/header.ts';
import { encodePax } from '../../../src/host/tar/pax.ts';
import { readTar } from '../../../src/host/tar/read.ts';
import { encodeEntry, padding, tarEnd } from '../../../src/host/tar/write.ts';

type Plain = Parameters<typeof encodeEntry>[0];

function entry(name: string, more: Partial<Plain> = {}): Plain {
  return {
    ...{ name, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
    ...more,
  };
}

function pack(...items: [Plain, Buffer?][]): Buffer {
  const blocks = items.flatMap(([one, body = Buffer.alloc(0)]) => [
    encodeEntry({ ...one, size: body.length }),
    body,
    padding(body.length),
  ]);
  return Buffer.concat([...blocks, tarEnd()]);
}

async function* chunks(data: Buffer, size: number) {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function read(data: Buffer, chunkSize = 100): Promise<{ entry: TarEntry; body: Buffer }[]> {
  const items = [];
  for await (const { entry, body } of readTar(chunks(data, chunkSize))) {
    items.push({ entry, body: (await collect(body, 1e9))! });
  }
  return items;
}

describe('readTar', () => {
  it('reads back what was written, whatever the names, numbers and chunk sizes', async () => {
    const bytes = (min: number, max: number) =>
      fc
        .uint8Array({ minLength: min, maxLength: max })
        .map((array) =>
          Buffer.from(array.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))).toString('latin1'),
        );
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          name: bytes(1, 300),
          linkName: bytes(0, 300),
          uid: fc.nat(0xffff_ffff),
          gid: fc.nat(0xffff_ffff),
          mtime: fc.integer({ min: -10, max: 2 ** 40 }),
          mode: fc.nat(0o7777),
        }),
        fc.dictionary(fc.stringMatching(/^user\.[a-z.]{1,9}$/), fc.uint8Array({ minLength: 1 }), {
          noNullPrototype: true,
        }),
        fc.uint8Array({ maxLength: 2000 }),
        fc.integer({ min: 1, max: 1500 }),
        async (fields, xattrs, body, chunkSize) => {
          const wanted = entry(fields.name, {
            ...fields,
            xattrs: new Map(Object.entries(xattrs).map(([name, value]) => [name, Buffer.from(value)])),
          });
          const [item, ...others] = await read(pack([wanted, Buffer.from(body)]), chunkSize);
          expect(others).toEqual([]);
          expect(item!.body).toEqual(Buffer.from(body));
          expect(item!.entry).toMatchObject({ ...wanted, size: body.length });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('never fails other than by MalformedError on damaged input', async () => {
    const good = pack(
      [entry('a'.repeat(150)), Buffer.from('body')],
      [entry('b', { xattrs: new Map([['user.x', Buffer.from('y')]]) })],
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 5 }),
        fc.nat(good.length),
        async (edits, length) => {
          const bad = Buffer.from(good.subarray(0, length));
          for (const [at, value] of edits) if (at < bad.length) bad[at] = value;
          await read(bad).catch((error) => expect(error).toBeInstanceOf(MalformedError));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('skips a body that nobody read', async () => {
    const names = [];
    for await (const { entry: one } of readTar(
      chunks(pack([entry('a'), Buffer.alloc(3000)], [entry('b')]), 700),
    ))
      names.push(one.name);
    expect(names).toEqual(['a', 'b']);
  });

  it('refuses a stream that ends inside a body', async () => {
    const data = pack([entry('a'), Buffer.alloc(3000)]);
    await expect(read(data.subarray(0, 1024))).rejects.toThrow('it ends early');
  });

  it('takes a stream without the closing blocks', async () => {
    const data = pack([entry('a'), Buffer.from('x')]);
    expect(await read(data.subarray(0, 1024))).toHaveLength(1);
  });

  it('reads all bytes behind the closing blocks, so that a digest over the source is whole', async () => {
    let seen = 0;
    const data = Buffer.concat([pack([entry('a')]), Buffer.alloc(9000, 1)]);
    async function* counted() {
      for await (const piece of chunks(data, 512)) {
        seen += piece.length;
        yield piece;
      }
    }
    for await (const _ of readTar(counted()));
    expect(seen).toBe(data.length);
  });
});

describe('the map of a file with holes (GNU format 1.0)', () => {
  /** A file whose body begins with such a map. */
  const withMap = (map: string, realSize: number, stored = '') => {
    const records = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 'holes'],
      ['GNU.sparse.realsize', String(realSize)],
    ].map(([key, value]) => ({ key: key!, value: Buffer.from(value!) }));
    const body = Buffer.concat([Buffer.from(map), padding(map.length), Buffer.from(stored)]);
    // Its type flag is all that makes a file an extended header.
    const extension = pack([entry('pax'), encodePax(records)]).subarray(0, -tarEnd().length);
    extension.write('x', 156, 'latin1');
    extension.write(`${checksum(extension.subarray(0, 512)).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return Buffer.concat([extension, pack([entry('stored'), body])]);
  };
  const lines = (...numbers: (number | string)[]) => numbers.map((number) => `${number}\n`).join('');

  it('says where the stored bytes lie', async () => {
    const [item] = await read(withMap(lines(2, 1, 2, 5, 3), 9, 'abcde'));
    expect(item!.entry).toMatchObject({ name: 'holes', size: 9 });
    expect(item!.body.toString('latin1')).toBe('\0ab\0\0cde\0');
    expect((await read(withMap(lines(0), 3)))[0]!.body).toEqual(Buffer.alloc(3));
  });

  it('is read in a time that grows with its length alone', async () => {
    // Of nothing at no place each, so that the map is all there is to read.
    const segments = 400_000;
    const [item] = await read(withMap(lines(segments) + lines(0, 0).repeat(segments), 3), 1 << 16);
    expect(item!.body).toEqual(Buffer.alloc(3));
  }, 20_000);

  it.each([
    ['damaged', 'a line without end', '9'.repeat(21)],
    ['damaged', 'a line without number', lines(1, '', 1)],
    ['damaged', 'something else than numbers', lines(1, '0x10', 1)],
    ['damaged', 'fewer numbers than it counts', lines(2, 0, 0)],
    ['damaged', 'a number that no file reaches', lines(1, '9'.repeat(20), 0)],
    ['too long', 'more segments than any file has', lines(1_000_001)],
  ])('is %s with %s', async (words, _, map) => {
    await expect(read(withMap(map, 100))).rejects.toThrow(`a map of file holes is ${words}`);
  });
});

describe('readable', () => {
  it('keeps control characters of a hostile name off the terminal', () => {
    expect(readable('a\x1b[2Jb\n')).toBe('a\\x1b[2Jb\\x0a');
    expect(readable(Buffer.from('ü').toString('latin1'))).toBe('ü');
  });
});
