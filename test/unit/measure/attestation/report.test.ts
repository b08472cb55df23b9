import { describe, expect, it } from 'vitest';
import { parseAttestationReport } from '../../../../src/measure/attestation/index.ts';
import { hasPolicyBit, MeasurementError, policyAbi } from '../../../../src/measure/index.ts';
import { measurement, reportBytes, type Writes } from './report-bytes.ts';

const turinTcb = [9, 8, 7, 6, 0, 0, 0, 5];

describe('attestation report', () => {
  it('has every field where the specification puts it', () => {
    const report = parseAttestationReport(reportBytes());
    expect(report).toMatchObject({
      version: 3,
      guestSvn: 7,
      policy: 0x3011fn,
      vmpl: 0,
      signatureAlgorithm: 1,
      currentTcb: { bootLoader: 4, tee: 1, snp: 22, microcode: 213 },
      reportedTcb: { bootLoader: 3, tee: 2, snp: 21, microcode: 212 },
      committedTcb: { bootLoader: 2, tee: 3, snp: 20, microcode: 211 },
      launchTcb: { bootLoader: 1, tee: 4, snp: 19, microcode: 210 },
      platform: { smtEnabled: true, tsmeEnabled: false, eccEnabled: true, aliasCheckComplete: true },
      signingKey: 'vcek',
      authorKeyEnabled: false,
      maskChipKey: false,
      cpu: { family: 25, model: 17, stepping: 1 },
      currentVersion: { major: 1, minor: 55, build: 30 },
      committedVersion: { major: 1, minor: 54, build: 29 },
    });
    expect(report.measurement).toEqual(measurement);
    expect(report.reportData[0]).toBe(1);
    expect(report.reportData[63]).toBe(64);
    const all = { familyId: 0xf1, imageId: 0xf2, hostData: 0xd0, idKeyDigest: 0xd1, authorKeyDigest: 0xd2 };
    for (const [name, value] of Object.entries({ ...all, reportId: 0xd3, reportIdMa: 0xff })) {
      expect(new Set(report[name as keyof typeof all])).toEqual(new Set([value]));
    }
    expect([report.familyId.length, report.idKeyDigest.length, report.reportId.length]).toEqual([16, 48, 32]);
    expect(report.chipId).toHaveLength(64);
    expect(report.chipId[63]).toBe(0x80 + 63);
    expect(report.signature).toHaveLength(512);
    expect(report.signature[143]).toBe(0x99);
    expect(report.signature[144]).toBe(0);
    expect(policyAbi(report.policy)).toEqual({ major: 1, minor: 31 });
  });

  it('has no CPU before version 3 and no mitigation vectors before version 5', () => {
    const mitigations = { 504: [1, 0, 0, 0, 0, 0, 0, 0x80], 512: [3] };
    const old = parseAttestationReport(reportBytes({ 0: [2], 392: [0, 0, 0] }));
    expect([old.cpu, old.launchMitigations]).toEqual([undefined, undefined]);
    for (const version of [3, 4]) {
      const report = parseAttestationReport(reportBytes({ ...mitigations, 0: [version] }));
      expect(report.launchMitigations).toBeUndefined();
      expect(report.cpu?.family).toBe(25);
    }
    const recent = parseAttestationReport(reportBytes({ ...mitigations, 0: [5] }));
    expect(recent.launchMitigations).toBe(0x8000_0000_0000_0001n);
    expect(recent.currentMitigations).toBe(3n);
  });

  it.each<[string, Writes]>([
    ['by its family', { 392: [0x1a, 2, 1] }],
    [
      'in version 2 by its chip id of 8 bytes',
      { 0: [2], 392: [0, 0, 0], 416: [1, 2, 3, 4, 5, 6, 7, 8, ...Array<number>(56).fill(0)] },
    ],
  ])('reads the TCB of Turin, known %s', (_how, writes) => {
    const report = parseAttestationReport(reportBytes({ ...writes, 384: turinTcb }));
    expect(report.reportedTcb).toEqual({ fmc: 9, bootLoader: 8, tee: 7, snp: 6, microcode: 5 });
  });

  it('does not take a masked chip id for that of Turin', () => {
    const report = parseAttestationReport(reportBytes({ 0: [2], 392: [0, 0, 0], 416: Buffer.alloc(64) }));
    expect(report.reportedTcb).toEqual({ bootLoader: 3, tee: 2, snp: 21, microcode: 212 });
  });

  it.each([
    [[0b00001], { authorKeyEnabled: true, maskChipKey: false, signingKey: 'vcek' }],
    [[0b00110], { authorKeyEnabled: false, maskChipKey: true, signingKey: 'vlek' }],
    [[0b11100], { signingKey: 'none' }],
    [[0b01000], { signingKey: 'reserved' }],
  ])('reads key info %j', (bytes, expected) => {
    expect(parseAttestationReport(reportBytes({ 72: bytes }))).toMatchObject(expected);
  });

  it('names bits of the policy', () => {
    const { policy } = parseAttestationReport(reportBytes({ 8: [0, 0, 0b1010, 0b10] }));
    expect(hasPolicyBit(policy, 'debug')).toBe(true);
    expect(hasPolicyBit(policy, 'pageSwapOff')).toBe(true);
    expect(hasPolicyBit(policy, 'smt')).toBe(false);
  });

  it("is found in the kernel's answer of 4000 bytes", () => {
    const answer = Buffer.alloc(4000);
    answer.writeUInt32LE(1184, 4);
    reportBytes().copy(answer, 32);
    expect(parseAttestationReport(answer).measurement).toEqual(measurement);
    answer.writeUInt32LE(0x16, 0);
    expect(() => parseAttestationReport(answer)).toThrow(/status 0x16, expected 0/);
    answer.writeUInt32LE(0, 0);
    answer.writeUInt32LE(1183, 4);
    expect(() => parseAttestationReport(answer)).toThrow(/has 1183 bytes, expected 1184/);
  });

  it('does not share memory with the file', () => {
    const bytes = reportBytes();
    const report = parseAttestationReport(bytes);
    bytes.fill(0);
    expect(report.measurement).toEqual(measurement);
    expect(report.chipId[0]).toBe(0x80);
  });

  it.each<[string, Buffer, RegExp, number]>([
    ['an empty file', Buffer.alloc(0), /it has 0 bytes, expected 1184/, 0],
    ['a byte too little', reportBytes().subarray(1), /it has 1183 bytes/, 0],
    ['a byte too much', Buffer.concat([reportBytes(), Buffer.alloc(1)]), /it has 1185 bytes/, 0],
    ['version 1', reportBytes({ 0: [1] }), /version is 1, expected 2 to 5/, 0],
    ['version 6', reportBytes({ 0: [6] }), /version is 6, expected 2 to 5/, 0],
    ['version 2 in the high bytes too', reportBytes({ 0: [2, 0, 0, 1] }), /version is 16777218/, 0],
    ['policy bit 17 of zero', reportBytes({ 10: [1] }), /expected bit 17 to be one/, 8],
    ['reserved bytes', reportBytes({ 76: [0, 0, 0, 1] }), /byte 0x4f is 0x1, expected 0/, 0x4f],
    ['reserved bytes before the chip id', reportBytes({ 415: [2] }), /byte 0x19f/, 0x19f],
    ['a CPU in version 2', reportBytes({ 0: [2] }), /byte 0x188 is 0x19/, 0x188],
    ['reserved bytes before the signature', reportBytes({ 671: [1] }), /byte 0x29f/, 0x29f],
  ])('refuses %s', (_name, bytes, message, offset) => {
    expect(() => parseAttestationReport(bytes)).toThrow(MeasurementError);
    expect(() => parseAttestationReport(bytes)).toThrow(message);
    expect(() => parseAttestationReport(bytes)).toThrow(expect.objectContaining({ offset }));
  });
});
