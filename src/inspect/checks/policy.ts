import type { Check, ExaminedBundle, Finding } from '../../bundle/index.ts';
import {
  type ImageRecord,
  launchDigestsOf,
  policyPath,
  readRegistry,
  registryPath,
} from '../../kbs/index.ts';
import { policyEntry, readPolicy } from '../../kbs/policy/index.ts';

const subject = 'policy entry';
const noKey = 'the key broker releases no key';

/**
 * Whether the policy directory still lets this image have its key: registered, active, with these digests and this resource path, and
 * in the policy that the registry makes.
 * @param directory the policy directory of the bundle's kind
 */
export const policyCheck = (directory: string): Check => ({
  name: subject,
  async run({ manifest }): Promise<Finding[]> {
    const registry = await readRegistry(directory);
    const registered = registryPath(directory);
    if (registry === undefined) {
      const text = `was not looked up: there is no ${registered}; --directory names another policy directory`;
      return [{ subject, severity: 'not checked', text }];
    }
    const image = registry.images.find(({ id }) => id === manifest.id);
    if (image === undefined) return [failure(`is missing: ${registered} does not have this image`)];
    if (image.status !== 'active') return [failure(`is not in force: the image is ${image.status}`)];
    return [...compare(image, manifest), ...(await inPolicy(image, directory))];
  },
});

function failure(text: string): Finding {
  return { subject, severity: 'failure', text, consequence: noKey };
}

function compare(image: ImageRecord, { kbs, launch }: ExaminedBundle['manifest']): Finding[] {
  const findings: Finding[] = [];
  if (image.resourcePath !== kbs.resource) {
    const text = 'is for another resource path than manifest.json has';
    findings.push({ ...failure(text), expected: image.resourcePath, found: kbs.resource });
  }
  const known = new Set(launchDigestsOf(image));
  const unknown = launch.digests.filter(({ hex }) => !known.has(hex));
  if (unknown.length === 0) return findings;
  const counts = unknown.map(({ vcpus }) => vcpus).join(', ');
  return [
    ...findings,
    {
      ...failure(`does not have the launch digests of manifest.json for ${counts} vCPUs`),
      found: unknown[0]!.hex,
    },
  ];
}

async function inPolicy(image: ImageRecord, directory: string): Promise<Finding[]> {
  const path = policyPath(directory);
  const text = await readPolicy(path);
  if (text === undefined) return [failure(`is registered, but there is no ${path}`)];
  if (text.includes(policyEntry(image))) return [];
  return [
    failure(
      `is registered, but ${path} does not hold it as the registry has it; "cvm policy lint" tells more`,
    ),
  ];
}
