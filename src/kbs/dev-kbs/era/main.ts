import { checkMainAdmin } from '../admin/main-admin.ts';
import { describeAlike, type Era } from './era.ts';

/** Release v0.21 with what followed until August 2026 (commit 78962cd416dc). */
export const main: Era = {
  name: 'main',
  methods: ['GET', 'POST', 'DELETE'],
  healthz: true,
  attestationPolicyNeedsAdmin: true,
  policyReadBack: 'names',
  referenceValues: 'one',
  // One file for the whole path, with each slash written as the four characters \x2F.
  nameTooLong: (path) => path.replaceAll('/', '\\x2F').length > 255,
  checkAdmin: checkMainAdmin,
  describe(refusal, endpoint) {
    const { type, told } = refusal;
    if (type === 'AdminAuth') {
      // A conversion of error types in the real broker makes this look like a fault of its configuration.
      return endpoint === 'resource'
        ? { type: 'AdminAuthInitialization', detail: `failed to initialize [admin] configuration: ${told}` }
        : { type: 'AdminAuthAccess', detail: `admin access denied for endpoint ${endpoint}: ${told}` };
    }
    if (type === 'PolicyEngine') return { type: 'PolicyEngineError', detail: `Policy engine error: ${told}` };
    if (type === 'PolicyRequest') {
      return { type: 'ParsePolicyError', detail: `Failed to parse policy: ${told}` };
    }
    return describeAlike(refusal);
  },
  measurement: (hex) => hex,
  policy: {
    dialect: 'v1',
    data: (path) => ({ plugin: 'resource', 'resource-path': path.split('/'), query: {} }),
    undecided: 'deny',
    shipped: `package policy

default allow = false

allow if {
	data.plugin == "resource"
	not input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["sample"]
}
`,
  },
};
