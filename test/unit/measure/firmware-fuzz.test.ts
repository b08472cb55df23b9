import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  launchDigest,
  lzmaStreams,
  MeasurementError,
  noInitrdHash,
  parseFirmware,
} from '../../../src/measure/index.ts';
import { firmwareImage } from './firmware-image.ts';
import { amdSevFixture, ovmfX64Fixture } from './vectors.ts';

const cases = Number(process.env.FUZZ_CASES ?? 10_000);
/** CPU time: far above what a case takes, far below what a loop over a forged length would, on a busy machine too. */
const boundMs = 250;

const blobs = { kernel: noInitrdHash, initrd: noInitrdHash, commandLine: noInitrdHash };

const seeds = [amdSevFixture(), ovmfX64Fixture(), firmwareImage()];

/** Where the tables lie; uniform damage would mostly hit zeros. */
const offset = (size: number) =>
  fc.oneof(
    fc.integer({ min: Math.max(0, size - 512), max: size - 4 }),
    fc.integer({ min: Math.max(0, size - 0x2000), max: Math.max(0, size - 0x2000) + 128 }),
    fc.integer({ min: 0, max: size - 4 }),
  );
const value = fc.oneof(
  fc.constantFrom(
    0,
    1,
    2,
    3,
    4,
    7,
    16,
    17,
    18,
    0x1000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_f000,
    0xffff_ffff,
  ),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

/** A sound image with words overwritten, sometimes cut short. */
const damaged = fc.constantFrom(...seeds).chain((seed) =>
  fc
    .tuple(
      fc.array(fc.tuple(offset(seed.length), value, fc.constantFrom(1, 2, 4)), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.option(fc.integer({ min: 0, max: seed.length }), { freq: 6 }),
    )
    .map(([writes, cut]) => {
      const image = Buffer.from(seed);
      for (const [at, word, width] of writes) image.writeUIntLE(word % 2 ** (8 * width), at, width);
      return cut === null ? image : image.subarray(image.length - cut);
    }),
);
const noise = fc.uint8Array({ maxLength: 8192 }).map((bytes) => Buffer.from(bytes));

it(`whatever the image, ${cases} cases end in a launch digest or a MeasurementError, soon`, {
  timeout: cases * 60 + 10_000,
}, () => {
  let parsed = 0;
  let measured = 0;
  fc.assert(
    fc.property(
      fc.oneof({ arbitrary: damaged, weight: 9 }, noise),
      fc.constantFrom('any', 'qemu'),
      (image, target) => {
        const started = process.cpuUsage();
        try {
          const firmware = parseFirmware(image, { target: target as 'any' | 'qemu' });
          for (const { gpa, size } of firmware.sections) expect(gpa + size).toBeLessThanOrEqual(2 ** 32);
          parsed++;
          const digest = launchDigest({ firmware, blobs }, { vcpus: 2, signature: 0x800f12 });
          expect(digest).toHaveLength(48);
          measured++;
        } catch (error) {
          if (!(error instanceof MeasurementError)) throw error;
          expect(error.message).toMatch(/^cannot .*: /);
        }
        for (const stream of lzmaStreams(image)) expect(stream.length).toBeLessThanOrEqual(image.length);
        const { user, system } = process.cpuUsage(started);
        expect((user + system) / 1000).toBeLessThan(boundMs);
      },
    ),
    { numRuns: cases },
  );
  // Damage that no case survives would test nothing behind the first check.
  expect(parsed).toBeGreaterThan(cases / 50);
  expect(measured).toBeGreaterThan(cases / 100);
});
