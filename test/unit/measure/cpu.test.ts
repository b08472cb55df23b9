import { describe, expect, it } from 'vitest';
import { cpuModels, cpuSignature, MeasurementError, parseCpu } from '../../../src/measure/index.ts';
import { vectorsFile } from './vectors.ts';

describe('CPU', () => {
  it('models are exactly those that QEMU knows', () => {
    expect([...cpuModels.keys()].sort()).toEqual(
      vectorsFile.cpu_signatures.table.map(({ cpu }) => cpu).sort(),
    );
  });

  it('signature may be given raw', () => {
    expect(parseCpu('0x00A00F11')).toBe(0xa00f11);
    expect(parseCpu('0xffffffff')).toBe(0xffff_ffff);
  });

  it('signature may be given as family/model/stepping', () => {
    expect(parseCpu('25/1/1')).toBe(0xa00f11);
    expect(parseCpu('26/0/0')).toBe(parseCpu('EPYC-Turin'));
    expect(() => parseCpu('25/256/1')).toThrow(/model 256: expected/);
    expect(() => parseCpu('25/1')).toThrow(MeasurementError);
  });

  it('options that name the identity override the model, others do not count', () => {
    expect(parseCpu('EPYC-v4,family=25,model=0x1,stepping=1')).toBe(parseCpu('EPYC-Milan'));
    expect(parseCpu('EPYC-Milan,stepping=0')).toBe(0xa00f10);
    expect(parseCpu('EPYC-v4,+avx512f,phys-bits=48')).toBe(parseCpu('EPYC-v4'));
  });

  it.each(['host', 'host,family=25', 'max', 'base'])('%s is refused: nothing can be predicted', (cpu) => {
    expect(() => parseCpu(cpu)).toThrow(MeasurementError);
    expect(() => parseCpu(cpu)).toThrow(/depends on the machine/);
  });

  it.each([
    'epyc-v4',
    'EPYC-v6',
    'EPYC-v4 ',
    '',
    '800f12',
    '0x',
    '0x100000000',
    'toString',
    'EPYC-v4,model=',
    'EPYC-v4,model=010',
    'EPYC-v4,model=-1',
    'EPYC-v4,stepping=16',
    'EPYC-v4,model=1,model=2',
  ])('%j is refused', (cpu) => {
    expect(() => parseCpu(cpu)).toThrow(MeasurementError);
  });

  it.each([
    [{ family: 271, model: 0, stepping: 0 }],
    [{ family: 23, model: 256, stepping: 0 }],
    [{ family: 23, model: 1, stepping: 16 }],
    [{ family: 1.5, model: 1, stepping: 1 }],
    [{ family: -1, model: 1, stepping: 1 }],
  ])('identity %j does not fit the register', (identity) => {
    expect(() => cpuSignature(identity)).toThrow(MeasurementError);
  });
});
