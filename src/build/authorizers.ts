import type { KeyBroker } from './key-broker.ts';
import type { BuildSettings } from './settings.ts';

/**
 * What FLARE's token issuers will lack in the CVM, or will not prove: what the configuration alone does not show.
 * @returns sentences, as warnings of a production build and notes of another
 */
export function authorizerFindings(
  { kind, site }: Pick<BuildSettings, 'kind' | 'site'>,
  { snpguest }: Pick<KeyBroker, 'snpguest'>,
): string[] {
  const names = (authorizer: string) =>
    site.issuers.some(({ path }) => path === authorizer || path.endsWith(`.${authorizer}`));
  const findings: string[] = [];
  if (names('SNPAuthorizer') && kind === 'development') {
    findings.push(
      "a development VM has no SEV-SNP: FLARE's SNPAuthorizer gets no token in it; for a trial use MockAuthorizer",
    );
  }
  if (names('SNPAuthorizer') && kind === 'production' && snpguest === undefined) {
    findings.push(
      'cc_issuers names SNPAuthorizer, and there is no binaries/snpguest to make its tokens with: the first check of this site fails, and FLARE shuts down',
    );
  }
  if (names('MockAuthorizer') && kind === 'production') {
    findings.push(
      'cc_issuers names MockAuthorizer, whose tokens prove nothing: any program that has a startup kit passes for a CVM',
    );
  }
  return findings;
}
