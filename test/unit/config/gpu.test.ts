import { describe, expect, it } from 'vitest';
import { attestsGpu, formatProblem, parseCcConfig, usesGpu } from '../../../src/config/index.ts';

const flares = 'nvflare.app_opt.confidential_computing.gpu_authorizer.GPUAuthorizer';
const issuer = (path: string) => `cc_issuers: [{ id: a, path: ${path}, token_expiration: 100 }]`;
const cpu = issuer('nvflare.app_opt.confidential_computing.snp_authorizer.SNPAuthorizer');
const parse = (...lines: string[]) => {
  const { config, errors, warnings } = parseCcConfig(['docker_archive: a', ...lines].join('\n'), 'cc.yml');
  expect(errors).toEqual([]);
  return { gpu: usesGpu(config!), warnings: warnings.map(formatProblem) };
};

describe('attestsGpu', () => {
  it.each([flares, 'GPUAuthorizer', 'our.NvidiaGpuAuthorizer'])('knows %s', (path) => {
    expect(attestsGpu(path)).toBe(true);
  });

  it.each([
    'x.SNPAuthorizer',
    'x.TDXAuthorizer',
    'gpu_authorizer.Base',
    'x.GPUAuthorizer.Other',
    '',
  ])('does not take %j for one', (path) => {
    expect(attestsGpu(path)).toBe(false);
  });
});

describe('a site', () => {
  it('has no GPU where nothing speaks of one', () => {
    expect(parse(cpu)).toEqual({ gpu: false, warnings: [] });
    expect(parse()).toEqual({ gpu: false, warnings: [] });
  });

  it('has one by its mechanism and its authorizer, without a word', () => {
    expect(parse('cc_gpu_mechanism: nvidia_cc', issuer(flares))).toEqual({ gpu: true, warnings: [] });
  });

  it('has one by its mechanism alone, with a warning that nothing checks its evidence', () => {
    expect(parse('cc_gpu_mechanism: nvidia_cc', cpu)).toEqual({
      gpu: true,
      warnings: [
        'cc.yml:2:19: cc_gpu_mechanism is set, but no authorizer of cc_issuers checks the evidence of the GPU: one outside of confidential mode would not be noticed',
      ],
    });
  });

  it('has one by its authorizer alone, with a warning at its line', () => {
    const { gpu, warnings } = parse(issuer(flares));
    expect(gpu).toBe(true);
    expect(warnings).toEqual([
      'cc.yml:2:29: cc_issuers[0] attests a GPU, so the image is built for one: set cc_gpu_mechanism to nvidia_cc as well. Launched without a GPU, the CVM fails its first check, and FLARE shuts down',
    ]);
  });
});
