import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alignBlock, layOut, layoutFile } from '../../../src/seal/layout.ts';

const source = (name: string, bytes: number) => ({ name, file: `/${name}`, bytes });

describe('alignBlock', () => {
  it.each([
    [0, 0],
    [1, 4096],
    [4096, 4096],
    [4097, 8192],
  ])('rounds %d up to %d', (bytes, aligned) => {
    expect(alignBlock(bytes)).toBe(aligned);
  });
});

describe('layOut', () => {
  it('puts each segment on the next 4 KiB boundary, in sectors of 512 bytes', () => {
    const { segments, dataBytes } = layOut([
      source('base', 4097),
      source('site', 512),
      source('layer0', 4096),
    ]);
    expect(segments.map(({ firstSector, sectors }) => [firstSector, sectors])).toEqual([
      [0, 16],
      [16, 8],
      [24, 8],
    ]);
    expect(dataBytes).toBe(16_384);
  });

  it('keeps order, overlaps nothing, leaves no gap and loses no byte, whatever the sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 2 ** 40 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const { segments, dataBytes } = layOut(sizes.map((bytes, index) => source(`layer${index}`, bytes)));
        let next = 0;
        for (const [index, segment] of segments.entries()) {
          expect(segment.name).toBe(`layer${index}`);
          expect(segment.firstSector).toBe(next);
          expect(segment.firstSector % 8).toBe(0);
          expect(segment.sectors % 8).toBe(0);
          expect(segment.sectors * 512).toBeGreaterThanOrEqual(sizes[index]!);
          expect(segment.sectors * 512 - sizes[index]!).toBeLessThan(4096);
          next += segment.sectors;
        }
        expect(dataBytes).toBe(next * 512);
      }),
    );
  });
});

describe('layoutFile', () => {
  it('is a line a segment that the shell can read: name, first sector, sectors', () => {
    const { segments } = layOut([source('base', 5000), source('layer0', 1)]);
    expect(layoutFile(segments)).toBe('base 0 16\nlayer0 16 8\n');
  });
});
