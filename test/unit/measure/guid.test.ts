import { expect, it } from 'vitest';
import { guidBytes, readGuid } from '../../../src/measure/guid.ts';

it('a GUID is stored with its first three groups little-endian', () => {
  const text = '00112233-4455-6677-8899-aabbccddeeff';
  const bytes = guidBytes(text);
  expect(bytes.toString('hex')).toBe('33221100554477668899aabbccddeeff');
  expect(readGuid(Buffer.concat([Buffer.alloc(3), bytes]), 3)).toBe(text);
});
