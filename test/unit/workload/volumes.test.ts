import { describe, expect, it } from 'vitest';
import { volumesOf } from '../../../src/workload/runtime/volumes.ts';

describe('volumesOf', () => {
  const volumesOfPaths = (...paths: string[]) =>
    volumesOf({
      ...{ architecture: 'amd64', os: 'linux', rootfs: { diff_ids: [] } },
      config: { Volumes: Object.fromEntries(paths.map((path) => [path, {}])) },
    });

  it('gives absolute paths within the container, each once', () => {
    expect(volumesOfPaths('/b', 'a/', '/a', '/x/../../../y', '/')).toEqual(['/a', '/b', '/y']);
    expect(volumesOf({ architecture: 'amd64', os: 'linux', rootfs: { diff_ids: [] } })).toEqual([]);
  });

  it('refuses what would be two lines', () => {
    expect(() => volumesOfPaths('/a\n/etc')).toThrow('has a control character');
  });
});
