import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import type { MinimumTcb } from '../../../src/kbs/policy/text.ts';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import { registryPath } from '../../../src/kbs/registry/registry.ts';
import { storeRegistry } from '../../../src/kbs/registry/registry-file.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';

/** A launch digest as key brokers up to v0.17 write it (base64) and as later ones do (hex). */
export interface Digest {
  base64: string;
  hex: string;
}

const digest = (word: string): Digest => {
  const hex = digestOf(word);
  return { base64: Buffer.from(hex, 'hex').toString('base64'), hex };
};

/** The resource paths of the fixture's images. */
export const paths = {
  one: 'keys/root/site-1',
  two: 'keys/root/site-2',
  retired: 'keys/root/site-3',
  adopted: 'nvflare/site-4/rootkey',
} as const;

/** Their launch digests. Image two was measured for two machines. */
export const digests = {
  one: digest('image 1'),
  two: digest('image 2'),
  twoBig: digest('image 2, 64 vCPUs'),
  retired: digest('image 3'),
  adopted: digest('an older image'),
  nobodys: digest('nobody'),
} as const;

const one = imageOf(1, { resourcePath: paths.one });
const second = imageOf(2);
const two = imageOf(2, {
  resourcePath: paths.two,
  digests: [second.digests[0]!, { ...second.digests[0]!, vcpus: 64, hex: digests.twoBig.hex }],
});
const retired = imageOf(3, { resourcePath: paths.retired, status: 'retired' });
const adopted = imageOf(4, {
  resourcePath: paths.adopted,
  digests: [],
  adopted: { at: '2026-02-03T04:05:06.000Z', digests: [digests.adopted.hex] },
});
const usual = [one, two, retired, adopted];

/** Names as long as a record takes, of the signs that need most room: lines that are as long as any. */
const longNamed = [
  imageOf(1, { resourcePath: paths.one, name: '"'.repeat(200), project: '\\'.repeat(200) }),
  imageOf(2, { resourcePath: paths.two, name: '漢'.repeat(200), project: '\u{1f600}'.repeat(100) }),
  imageOf(3, { resourcePath: ['r', 't', 'g'].map((letter) => letter.repeat(255)).join('/') }),
];

/** Path and digest of one of the 1,000 images, from 1. */
export const ofThousand = (number: number) => ({
  path: imageOf(number).resourcePath,
  digest: digest(`image ${number}`),
});

const head = 'package policy\n\nimport rego.v1\n\n';
const pkcs11 =
  'allow if {\n\tdata.plugin == "pkcs11"\n\tinput.submods.cpu0["ear.status"] == "affirming"\n}\n';

interface Source {
  images: readonly ImageRecord[];
  minTcb?: MinimumTcb;
  /** Text of an administrator: the file as it was before the managed part was appended to it. */
  before?: string;
  /** And what was written below it afterwards. */
  after?: string;
}

/** The policies of the table. */
export const sources = {
  usual: { images: usual },
  tcb: { images: usual, minTcb: { bootloader: 4, tee: 0, snp: 22, microcode: 213 } },
  'tcb of one part': { images: usual, minTcb: { snp: 22 } },
  'no images': { images: [] },
  'retired only': { images: [retired] },
  'one image': { images: [one] },
  '1,000 images': { images: Array.from({ length: 1000 }, (_, index) => imageOf(index + 1)) },
  'long names': { images: longNamed },
  'rules around': {
    images: usual,
    before: `${head}default allow := false\n\n${pkcs11}`,
    after: '\nhelper contains name if some name in input.names\n',
  },
  'no default': { images: usual, before: head },
} satisfies Record<string, Source>;

export type PolicyName = keyof typeof sources;

/** Writes every policy as a build does, each in a folder of its own. @returns the paths of the texts. */
export async function writePolicies(folder: string): Promise<Record<PolicyName, string>> {
  const written: [string, string][] = [];
  for (const [name, source] of Object.entries<Source>(sources)) {
    const directory = join(folder, name);
    await mkdir(directory);
    const { images, minTcb, before, after } = source;
    const registry = { version: 1 as const, kind: 'production' as const, images: [...images] };
    await storeRegistry(registryPath(directory), registry, undefined);
    if (before !== undefined) await writeFile(policyPath(directory), before);
    const { path, text } = await writePolicy(directory, { minTcb });
    if (after !== undefined) {
      await writeFile(path, text + after);
      await writePolicy(directory, { minTcb });
    }
    written.push([name, path]);
  }
  return Object.fromEntries(written) as Record<PolicyName, string>;
}
