import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/host/errors.ts';
import { type Room, sitesAtOnce } from '../../../src/project/room.ts';

const gib = 2 ** 30;
const sites = (count: number, size = { work: 1 * gib, bundle: 2 * gib }) =>
  Array.from({ length: count }, () => size);
const room = (changes: Partial<Room> = {}): Room => ({
  processors: 4,
  memory: 64 * gib,
  work: 100 * gib,
  output: 1000 * gib,
  sameDisk: false,
  outputFolder: '/srv/cvm/target',
  workFolder: '/tmp',
  ...changes,
});

describe('how many sites are built at once', () => {
  it('is as many as there are processors, or sites, or as were asked for', () => {
    expect(sitesAtOnce(sites(20), room())).toBe(4);
    expect(sitesAtOnce(sites(3), room())).toBe(3);
    expect(sitesAtOnce(sites(20), room(), 1)).toBe(1);
    expect(sitesAtOnce(sites(20), room(), 8)).toBe(8);
  });

  it('is no more than find twice the size of their work files in memory, whatever was asked for', () => {
    expect(sitesAtOnce(sites(20), room({ memory: 6.5 * gib }))).toBe(3);
    expect(sitesAtOnce(sites(20), room({ memory: 6.5 * gib }), 8)).toBe(3);
    expect(sitesAtOnce([...sites(19), { work: 3 * gib, bundle: gib }], room({ memory: 6.5 * gib }))).toBe(1);
  });

  it('is no more than the disk holds where memory has no room for one', () => {
    expect(sitesAtOnce(sites(20), room({ memory: 1 * gib, work: 2.5 * gib }))).toBe(2);
  });

  it('leaves room for the bundles where they and the work files share a disk', () => {
    const shared = { memory: 0, sameDisk: true };
    expect(sitesAtOnce(sites(10), room({ ...shared, work: 23 * gib, output: 23 * gib }))).toBe(3);
    expect(() => sitesAtOnce(sites(10), room({ ...shared, work: 20.5 * gib, output: 20.5 * gib }))).toThrow(
      'the work files of one, beside the bundles, take 1.0 GiB in /tmp, 512 MiB are free',
    );
  });

  it('is none where the disk does not hold the sum of the bundles', () => {
    const refused = () => sitesAtOnce(sites(20), room({ output: 39 * gib }));
    expect(refused).toThrow(UserError);
    expect(refused).toThrow(
      'cannot build 20 sites: their bundles take 40.0 GiB in /srv/cvm/target, 39.0 GiB are free',
    );
    expect(sitesAtOnce(sites(19), room({ output: 39 * gib }))).toBe(4);
  });
});
