import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect, MalformedError } from '../../../src/host/tar/bytes.ts';
import { readable, type TarEntry } from '../../../src/host/tar/entry.ts';
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

describe('readable', () => {
  it('keeps control characters of a hostile name off the terminal', () => {
    expect(readable('a\x1b[2Jb\n')).toBe('a\\x1b[2Jb\\x0a');
    expect(readable(Buffer.from('ü').toString('latin1'))).toBe('ü');
  });
});
