import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseAttestationReport } from '../../../../src/measure/attestation/index.ts';
import { MeasurementError } from '../../../../src/measure/index.ts';
import { reportBytes } from './report-bytes.ts';

const cases = Number(process.env.FUZZ_CASES ?? 1000);

/** A sound report, or the kernel's answer with one, with some bytes overwritten and sometimes cut or longer. */
const damaged = fc
  .tuple(
    fc.boolean(),
    fc.array(fc.tuple(fc.nat(1183), fc.nat(255)), { maxLength: 4 }),
    fc.option(fc.nat(5000), { freq: 6 }),
  )
  .map(([wrapped, writes, size]) => {
    const report = reportBytes();
    for (const [offset, value] of writes) report[offset] = value;
    const header = Buffer.alloc(32);
    header.writeUInt32LE(1184, 4);
    const file = wrapped ? Buffer.concat([header, report, Buffer.alloc(2784)]) : report;
    return size === null ? file : Buffer.concat([file, Buffer.alloc(5000)]).subarray(0, size);
  });
const noise = fc
  .uint8Array({ minLength: 1184, maxLength: 1184 })
  .map((bytes) => Buffer.concat([Buffer.from([3, 0, 0, 0]), Buffer.from(bytes)]).subarray(0, 1184));

it(`whatever the file, ${cases} cases end in a report or a MeasurementError`, {
  timeout: cases * 20 + 10_000,
}, () => {
  let parsed = 0;
  fc.assert(
    fc.property(fc.oneof({ arbitrary: damaged, weight: 9 }, noise), (file) => {
      try {
        const report = parseAttestationReport(file);
        expect(report.measurement).toHaveLength(48);
        expect(report.version).toBeGreaterThan(1);
        parsed++;
      } catch (error) {
        if (!(error instanceof MeasurementError)) throw error;
        expect(error.message).toMatch(/^cannot read attestation report: .*, expected /);
      }
    }),
    { numRuns: cases },
  );
  // Damage that no case survives would test nothing behind the first check.
  expect(parsed).toBeGreaterThan(cases / 50);
});
