import { describe, expect, it } from 'vitest';
import { diagnosisJson, judgeReport, reportFields } from '../../../src/diagnose/index.ts';
import { parseAttestationReport } from '../../../src/measure/attestation/index.ts';
import { measurement, reportBytes, type Writes } from '../measure/attestation/report-bytes.ts';
import { diagnosed, manifest, startedWith } from './bundle.ts';

/** A report with the bundle's own policy. */
const report = (writes: Writes = {}) =>
  parseAttestationReport(reportBytes({ 8: [0, 0, 3, 0, 0, 0, 0, 0], ...writes }));

describe('a report', () => {
  it('with the policy of the bundle has nothing against it', () => {
    expect(judgeReport(report(), manifest)).toEqual([]);
  });

  it.each<[string, Writes, boolean, RegExp]>([
    ['debugging', { 10: [0x0b] }, true, /allows debugging/],
    ['a migration agent', { 10: [0x07] }, true, /migration agent/],
    ['VMPL 1', { 48: [1] }, true, /VMPL 1 instead of 0/],
    ['another algorithm', { 52: [2] }, true, /algorithm is 2/],
    ['no signing key', { 72: [0x1c] }, true, /no key signed it/],
    ['a reserved signing key', { 72: [0x08] }, true, /not defined/],
    ['a masked chip key', { 72: [0x02] }, true, /masks the chip key/],
    ['version 2', { 0: [2], 392: [0, 0, 0] }, true, /version 2/],
    ['version 5', { 0: [5] }, false, /v0\.15\.0/],
    ['another policy', { 10: [0x13] }, false, /0x130000 .*single socket.* instead of 0x30000/],
    ['a bound migration agent', { 352: [1] }, false, /agent is bound/],
  ])('with %s is told of', (_name, writes, refused, words) => {
    const findings = judgeReport(report(writes), manifest);
    const found = findings.find(({ text }) => words.test(text));
    expect(found?.refused).toBe(refused);
    expect(findings.some((finding) => finding.refused)).toBe(refused);
  });

  it('with debugging is at odds with the policy of the bundle as well', () => {
    const subjects = judgeReport(report({ 10: [0x0b] }), manifest).map(({ subject }) => subject);
    expect(subjects).toEqual(['policy', 'policy']);
  });

  it('is shown field by field, without control characters', () => {
    const fields = new Map(reportFields(report({ 0: [5], 504: [0x10] })));
    expect(fields.get('policy')).toBe('0x30000 (ABI 0.0, SMT allowed)');
    expect(fields.get('measurement')).toBe(measurement.toString('hex'));
    expect(fields.get('signature algorithm')).toBe('1 (ECDSA P-384 with SHA-384)');
    expect(fields.get('reported TCB')).toBe('boot loader 3, TEE 2, SNP 21, microcode 212');
    expect(fields.get('CPU')).toBe('family 25, model 17, stepping 1');
    expect(fields.get('launch mitigations')).toBe('0x10');
    expect(fields.get('platform')).toBe('SMT on, ECC memory, alias check complete');
    expect([...fields].flat().join('')).not.toMatch(/\p{Cc}/u);
    expect(new Map(reportFields(report())).has('launch mitigations')).toBe(false);
  });
});

describe('JSON', () => {
  it('holds the finding and the report, in ASCII, and says that the signature was not verified', async () => {
    const diagnosis = await diagnosed(startedWith({ commandLine: 'ä\u202e' }), {
      commandLines: ['ä\u202e'],
    });
    const text = diagnosisJson({ diagnosis, report: report(), findings: [], problems: [] });
    expect(text).toMatch(/^[\x20-\x7e]+$/);
    const value = JSON.parse(text);
    expect(value).toMatchObject({
      outcome: 'differs',
      vcpus: 8,
      differences: [{ dimension: 'command_line', found: { text: 'ä\u202e', edit: { kind: 'offered' } } }],
      report: { measurement: measurement.toString('hex'), policy: '0x30000', signature_verified: false },
    });
    expect(value.tried.digests).toBeGreaterThan(0);
  });

  it('holds no firmware image', async () => {
    const { firmware: own } = await import('./bundle.ts');
    const changed = { ...own, sha256: 'ab'.repeat(32), bytes: Buffer.from(own.bytes) };
    changed.bytes[5] = 1;
    const diagnosis = await diagnosed(startedWith({ firmware: changed }), {
      firmware: [
        { image: own, origin: { kind: 'manifest' } },
        { image: changed, origin: { kind: 'folder' } },
      ],
    });
    const text = diagnosisJson({ diagnosis, report: undefined, findings: [], problems: [] });
    expect(JSON.parse(text).differences[0].found).toEqual({
      sha256: 'ab'.repeat(32),
      origin: { kind: 'folder' },
    });
  });
});
