import { type ImageRecord, launchDigestsOf } from '../registry/record.ts';

/** Both texts by which key brokers of different releases name one launch digest. */
export interface DigestEncodings {
  /** Standard base64, 64 characters: releases up to v0.17. */
  base64: string;
  /** Lower-case hex, 96 characters: v0.18 and later. */
  hex: string;
}

/** Both encodings of a launch digest given as hex. They cannot be confused: their lengths differ. */
export function digestEncodings(hex: string): DigestEncodings {
  return { base64: Buffer.from(hex, 'hex').toString('base64'), hex };
}

/** Every text a key broker may name one of the image's launch digests by, sorted, each once. */
export function measurementsOf(record: Pick<ImageRecord, 'digests' | 'adopted'>): string[] {
  const all = launchDigestsOf(record).flatMap((hex) => Object.values(digestEncodings(hex)) as string[]);
  return [...new Set(all)].sort();
}

/**
 * An image's lines in the policy's map from resource path to launch digests, without a final newline. JSON strings are
 * Rego strings, so quoting the path as JSON keeps it from becoming policy; digests are hex and base64 by form. They
 * stand in one raw string, a digest in both encodings on each line: a broker reads the whole policy for each request,
 * and one string is read five times as fast as a set of them.
 */
export function policyEntry(record: ImageRecord): string {
  const whose = record.project === undefined ? [record.name] : [record.name, record.project];
  const since = record.adopted === undefined ? `built ${record.builtAt}` : `taken over ${record.adopted.at}`;
  const digests = [...new Set(launchDigestsOf(record))].sort().map((digest) => {
    const { hex, base64 } = digestEncodings(digest);
    return `${hex} ${base64}`;
  });
  return [
    `\t# image ${record.id} of ${whose.map((text) => JSON.stringify(text)).join(' in project ')}, ${since}`,
    `\t${JSON.stringify(record.resourcePath)}: \`${digests.join('\n')}\`,`,
  ].join('\n');
}
