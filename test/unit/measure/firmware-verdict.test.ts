import { describe, expect, it } from 'vitest';
import { judgeFirmware, knownFirmware, lzmaStreams } from '../../../src/measure/index.ts';

const utf16 = (text: string) => Buffer.from(text, 'utf16le');
const weakVolume = Buffer.concat([
  Buffer.alloc(100),
  utf16('shim'),
  Buffer.alloc(50),
  Buffer.from('etc/boot/kernel'),
]);
const unseen = '0'.repeat(64);

const lzmaGuid = Buffer.from('98584eee1439594' + '29d6edc7bd79403cf', 'hex');
const stream = Buffer.from('5d00008000' + 'ffffffffffffffff' + 'deadbeef', 'hex');

/** A GUID-defined section that holds {@link stream}. */
function section({ extended = false, type = 2, guid = lzmaGuid, dataOffset = 0, size = 0 } = {}): Buffer {
  const header = Buffer.alloc(extended ? 8 : 4);
  const offset = dataOffset || header.length + 20;
  const total = size || offset + stream.length;
  header.writeUIntLE(extended ? 0xffffff : total, 0, 3);
  header[3] = type;
  if (extended) header.writeUInt32LE(total, 4);
  const fields = Buffer.alloc(4);
  fields.writeUInt16LE(offset, 0);
  fields.writeUInt16LE(1, 2);
  return Buffer.concat([header, guid, fields, stream]);
}

describe('firmware verdict', () => {
  it('of a row in the table wins over what the volume looks like', () => {
    const known = { [unseen]: { verdict: 'sound' as const, reason: 'tested', version: 'our build' } };
    expect(judgeFirmware(unseen, weakVolume, known)).toEqual(known[unseen]);
  });

  it("calls Debian's 2026.08 build weak, in either case of hex", () => {
    const sha256 = '3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f';
    expect(judgeFirmware(sha256, undefined)).toMatchObject({
      verdict: 'weak',
      version: expect.stringContaining('2026.08'),
    });
    expect(judgeFirmware(sha256.toUpperCase(), undefined).verdict).toBe('weak');
  });

  it('calls the build of templates/firmware sound', () => {
    const sha256 = 'aae5e39c68bb1b555c92d30866b9c446158b89fb9f1618d6faa7077224666834';
    expect(judgeFirmware(sha256, undefined)).toMatchObject({ verdict: 'sound' });
  });

  it('is weak for unlisted firmware of the same kind', () => {
    expect(judgeFirmware(unseen, weakVolume).verdict).toBe('weak');
  });

  it.each([
    ['without a volume', undefined],
    ['with an empty volume', Buffer.alloc(0)],
    ['with the first sign alone', utf16('shim')],
    ['with the second sign alone', Buffer.from('etc/boot/')],
    ['with the first sign in ASCII', Buffer.from('shim etc/boot/')],
  ])('is unknown, never sound, %s', (_name, volume) => {
    expect(judgeFirmware(unseen, volume).verdict).toBe('unknown');
  });

  it.each(['constructor', '__proto__', ''])('is unknown for %j', (sha256) => {
    expect(judgeFirmware(sha256, undefined).verdict).toBe('unknown');
  });

  it('has rows by whole lower-case SHA-256', () => {
    for (const sha256 of Object.keys(knownFirmware)) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('LZMA sections', () => {
  const around = (bytes: Buffer) => Buffer.concat([Buffer.alloc(72, 0xff), bytes, Buffer.alloc(40, 0xff)]);

  it.each([
    ['with a short header', section()],
    ['with an extended header', section({ extended: true })],
  ])('%s yield their stream', (_name, bytes) => {
    expect(lzmaStreams(around(bytes))).toEqual([stream]);
  });

  it('are all found, past a GUID that is mere data', () => {
    const image = Buffer.concat([
      lzmaGuid,
      Buffer.alloc(64),
      section(),
      section({ extended: true }),
      lzmaGuid,
    ]);
    expect(lzmaStreams(image)).toEqual([stream, stream]);
  });

  it.each([
    ['another type', section({ type: 1 })],
    ['another GUID', section({ guid: Buffer.alloc(16, 1) })],
    ['data before its header ends', section({ dataOffset: 4 })],
    ['no room for a stream', section({ size: 30 })],
    ['more bytes than the file', section({ size: 10_000 })],
  ])('with %s are passed over', (_name, bytes) => {
    expect(lzmaStreams(around(bytes))).toEqual([]);
  });

  it('cut off at the end of the file are passed over', () => {
    const bytes = section();
    for (let length = 0; length < bytes.length; length++) {
      expect(lzmaStreams(bytes.subarray(0, length))).toEqual([]);
    }
  });
});
