import { describe, expect, it } from 'vitest';
import { hasWeakToolkit, missingForGpu } from '../../../src/base/check/gpu.ts';

const release = '6.8.0-64-generic';
const complete = [
  `usr/lib/modules/${release}/kernel/nvidia-570srv-open/nvidia.ko.zst`,
  `usr/lib/modules/${release}/kernel/nvidia-570srv-open/nvidia-uvm.ko.zst`,
  'usr/lib/firmware/nvidia/570.172.08/gsp_ga10x.bin',
  'usr/lib/x86_64-linux-gnu/libcuda.so.1',
  'usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1',
  ...['nvidia-smi', 'nvidia-persistenced', 'nvidia-ctk', 'nvidia-cdi-hook', 'jq'].map(
    (name) => `usr/bin/${name}`,
  ),
];
const missing = (paths: string[], kernel = release) => missingForGpu(paths, kernel).map(({ what }) => what);

describe('missingForGpu', () => {
  it('finds nothing missing in a base with Ubuntu’s server driver and NVIDIA’s toolkit', () => {
    expect(missing(complete)).toEqual([]);
  });

  it('says of each thing what it is for and where it comes from', () => {
    const all = missingForGpu([], release);
    expect(all).toHaveLength(complete.length);
    for (const { what, why, from } of all) {
      expect(what).not.toBe('');
      expect(why).not.toBe('');
      expect(from).toMatch(/Ubuntu|NVIDIA|same package/);
    }
  });

  it.each(complete)('misses %s alone where it is not there', (path) => {
    expect(missing(complete.filter((other) => other !== path))).toHaveLength(1);
  });

  it('does not take modules of another kernel, nor a name that only begins alike', () => {
    expect(missing(complete, '6.8.0-65-generic')).toEqual([
      'the kernel module nvidia',
      'the kernel module nvidia-uvm',
    ]);
    expect(missing(complete, '6.8.0-64-generi')).toHaveLength(2);
    // A dot of the release is a dot.
    expect(missing(complete, '6x8.0-64-generic')).toHaveLength(2);
    const drm = complete.map((path) => path.replace('/nvidia.ko', '/nvidia-drm.ko'));
    expect(missing(drm)).toEqual(['the kernel module nvidia']);
    expect(missing([...drm, 'usr/src/nvidia.ko', 'opt/usr/bin/jq'])).toEqual(['the kernel module nvidia']);
  });
});

describe('hasWeakToolkit', () => {
  it.each([
    ['nvidia-container-toolkit\t1.17.7-1\n', true],
    ['curl\t8\nnvidia-container-toolkit-base\t1.9.0-1\n', true],
    ['nvidia-container-toolkit\t0.9.9-1\n', true],
    ['nvidia-container-toolkit\t1.17.8-1\n', false],
    ['nvidia-container-toolkit\t1.18.0~rc.2-1\n', false],
    ['nvidia-container-toolkit\t2.0.0-1\n', false],
    ['nvidia-container-toolkit-other\t1.0.0-1\n', false],
    ['', false],
  ])('of %j says %s', (packages, weak) => {
    expect(hasWeakToolkit(packages)).toBe(weak);
  });
});
