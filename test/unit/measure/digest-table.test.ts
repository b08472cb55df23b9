import { describe, expect, it } from 'vitest';
import {
  digestTable,
  firmwareDigest,
  launchDigest,
  MeasurementError,
  noInitrdHash,
  parseCpu,
  parseFirmware,
  sevDigest,
  sevEsDigest,
} from '../../../src/measure/index.ts';
import { firmwareImage } from './firmware-image.ts';

const firmware = parseFirmware(firmwareImage());
const blobs = { kernel: noInitrdHash, initrd: noInitrdHash, commandLine: noInitrdHash };
const vcpus = [4, 1, 512];
const cpus = ['EPYC-v4', 'EPYC-Genoa'];

describe('digestTable', () => {
  it('has a row for every combination, each the digest of that launch alone', () => {
    const rows = digestTable({ mode: 'snp', firmware, blobs, vcpus, cpus, features: [0x1n, 0x21n] });
    expect(rows).toHaveLength(12);
    for (const row of rows) {
      const variant = { vcpus: row.vcpus!, signature: parseCpu(row.cpu!), features: row.features! };
      expect(row.digest).toEqual(launchDigest({ firmware, blobs }, variant));
    }
    expect(rows.map((row) => row.vcpus).slice(0, 3)).toEqual(vcpus);
  });

  it('hashes the firmware once for all of them', () => {
    const steps: string[] = [];
    const input = { mode: 'snp' as const, firmware, blobs, vcpus, cpus };
    digestTable(input, ({ stage }) => steps.push(stage));
    expect(steps.filter((stage) => stage === 'firmware')).toHaveLength(1);
    expect(steps.filter((stage) => stage === 'vmsa')).toHaveLength(2 * 512);
  });

  it('measures no CPU model where the VMM puts none into the save area', () => {
    const [row] = digestTable({ mode: 'snp', vmm: 'ec2', firmware, blobs, vcpus: [2], cpus });
    expect(row).toMatchObject({ cpu: undefined, vcpus: 2 });
    expect(row!.digest).toEqual(launchDigest({ firmware, blobs, vmm: 'ec2' }, { vcpus: 2 }));
  });

  it('has one row where neither counts nor models are measured', () => {
    expect(digestTable({ mode: 'sev', firmware, blobs, vcpus, cpus })).toMatchObject([
      { vcpus: undefined, cpu: undefined, features: undefined, digest: sevDigest(firmware, blobs) },
    ]);
    expect(digestTable({ mode: 'snp:ovmf-hash', firmware })[0]!.digest).toEqual(firmwareDigest(firmware));
  });

  it('measures SEV-ES without features', () => {
    const rows = digestTable({
      mode: 'seves',
      firmware,
      blobs,
      vcpus: [2],
      cpus: ['EPYC'],
      features: [0x21n],
    });
    expect(rows).toMatchObject([
      { features: undefined, digest: sevEsDigest(firmware, 2, parseCpu('EPYC'), blobs) },
    ]);
  });

  it.each([
    [{ mode: 'snp' as const, vcpus: [], cpus }, /no number of vCPUs/],
    [{ mode: 'snp' as const, vcpus: [1], cpus: [] }, /no CPU model/],
    [{ mode: 'seves' as const, vcpus: [1] }, /no CPU model/],
    [{ mode: 'sev' as const, vmm: 'gce' as const }, /only snp/],
    [{ mode: 'snp' as const, vcpus: [0], cpus }, /0 vCPUs/],
    [{ mode: 'snp' as const, vcpus: [1], cpus: ['host'] }, /depends on the machine/],
  ])('refuses %j', (input, cause) => {
    expect(() => digestTable({ firmware, ...input })).toThrow(MeasurementError);
    expect(() => digestTable({ firmware, ...input })).toThrow(cause);
  });
});
