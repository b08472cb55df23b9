import { describe, expect, it } from 'vitest';
import { fitForGpu, gpuOfSite } from '../../../src/build/gpu.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';

const settings = (kind: BuildSettings['kind'], gpuMechanism?: 'nvidia_cc') =>
  ({ kind, site: { gpuMechanism, issuers: [] } }) as unknown as BuildSettings;
const report = { signal: new AbortController().signal, warn: () => {} };

describe('gpuOfSite', () => {
  it('asks for nothing where the site has no GPU', () => {
    expect(gpuOfSite(settings('production'))).toBeUndefined();
  });

  it('wants confidential-computing mode in every production bundle', () => {
    expect(gpuOfSite(settings('production', 'nvidia_cc'))).toEqual({ confidential: true });
    expect(gpuOfSite(settings('development', 'nvidia_cc'))).toEqual({ confidential: false });
  });
});

describe('fitForGpu', () => {
  const base = { squashfs: '/nowhere/base.squashfs' } as never;

  it('does not look into the base of a site without GPU', async () => {
    expect(await fitForGpu(base, settings('production'), report)).toBe(base);
  });

  it('looks into it for a site with one', async () => {
    await expect(fitForGpu(base, settings('production', 'nvidia_cc'), report)).rejects.toThrow();
  });
});
