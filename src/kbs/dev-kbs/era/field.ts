import { digestEncodings } from '../../policy/entry.ts';
import { checkFieldAdmin } from '../admin/field-admin.ts';
import { describeAlike, type Era } from './era.ts';

/** Release v0.14 (commit a2570329cc33). */
export const field: Era = {
  name: 'field',
  methods: ['GET', 'POST'],
  healthz: false,
  attestationPolicyNeedsAdmin: false,
  policyReadBack: 'text',
  referenceValues: 'all',
  // One folder for each of the first two segments.
  nameTooLong: (path) => path.split('/').some((segment) => segment.length > 255),
  checkAdmin: checkFieldAdmin,
  describe(refusal) {
    const { type, told } = refusal;
    if (type === 'AdminAuth') return { type, detail: `Admin auth error: ${told}` };
    // The reason is hidden: neither a parser's message nor the cause of a failed evaluation gets out.
    if (type === 'PolicyEngine' || type === 'PolicyRequest') {
      return { type: 'PolicyEngine', detail: 'Policy engine error' };
    }
    return describeAlike(refusal);
  },
  measurement: (hex) => digestEncodings(hex).base64,
  policy: {
    dialect: 'v0',
    data: (path) => ({ 'resource-path': `resource/${path}` }),
    undecided: 'error',
    shipped: `package policy

default allow = false

allow {
	not input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["sample"]
}
`,
  },
};
