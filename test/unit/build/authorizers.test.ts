import { expect, it } from 'vitest';
import { authorizerFindings } from '../../../src/build/authorizers.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';

const package_ = 'nvflare.app_opt.confidential_computing';
const found = (kind: BuildSettings['kind'], authorizer: string, snpguest?: string) => {
  const site = { issuers: [{ path: authorizer }] } as unknown as BuildSettings['site'];
  return authorizerFindings({ kind, site }, { snpguest });
};

it('tells of an SNPAuthorizer without the program that it runs', () => {
  const path = `${package_}.snp_authorizer.SNPAuthorizer`;
  expect(found('production', path)).toEqual([expect.stringContaining('no binaries/snpguest')]);
  expect(found('production', path, '/binaries/snpguest')).toEqual([]);
});

it('tells of an SNPAuthorizer in a VM without SEV-SNP', () => {
  const path = `${package_}.snp_authorizer.SNPAuthorizer`;
  expect(found('development', path, '/binaries/snpguest')).toEqual([expect.stringContaining('no SEV-SNP')]);
});

it('tells of a MockAuthorizer in production alone', () => {
  const path = `${package_}.mock_authorizer.MockAuthorizer`;
  expect(found('production', path)).toEqual([expect.stringContaining('prove nothing')]);
  expect(found('development', path)).toEqual([]);
});

it('takes no other class for one of these', () => {
  expect(found('production', 'site.NotMockAuthorizer')).toEqual([]);
  expect(found('production', 'site.SNPAuthorizer2')).toEqual([]);
});
