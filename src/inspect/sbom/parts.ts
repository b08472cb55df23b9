import { createHash } from 'node:crypto';
import type { BundleSummary, PackageSummary } from '../summary/summary.ts';
import { packageUrl } from './purl.ts';

/** A package of a bill of materials. */
export interface Component {
  /** Unique in the document: letters, digits, `.` and `-`. */
  reference: string;
  name: string;
  version: string;
  purl: string;
  source: string | undefined;
}

/** A part of the bundle with the packages in it. */
export interface BomPart {
  reference: string;
  name: string;
  /** How complete the list is, one sentence. */
  remark: string;
  components: Component[];
}

/** Base system and image, as both forms of a bill of materials list them. */
export function bomParts({ basePackages, imagePackages }: BundleSummary): BomPart[] {
  return [
    part('base', 'base system', basePackages),
    part('image', 'container image of the workload', imagePackages),
  ];
}

function part(reference: string, name: string, summary: PackageSummary): BomPart {
  const { packages, distribution } = summary;
  const components = packages.map((one, index) => ({
    reference: `${reference}-${index}`,
    name: one.name,
    version: one.version,
    purl: packageUrl(one, distribution),
    source: one.source,
  }));
  return {
    reference,
    name,
    remark: remarkOf(name, summary),
    components,
  };
}

/** Where the packages of a part were read, or why they are not known. */
export function remarkOf(name: string, { from, unread }: Pick<PackageSummary, 'from' | 'unread'>): string {
  if (from === 'unknown')
    return `The packages of the ${name} are not known: they are sealed, and only the disk key (--key) shows them.`;
  if (from === 'cache')
    return `The packages of the ${name} are those of a base in the cache with the same kernel and size; only the disk key (--key) proves it.`;
  if (from === 'record')
    return `The packages of the ${name} are those of the base that the build record names; only the disk key (--key) proves it.`;
  const missing =
    unread.length === 0 ? '' : ` A database that is not read is there as well: ${unread.join(', ')}.`;
  return `The packages of the ${name} are those of its package databases in the sealed drive; what no package manager installed is not listed.${missing}`;
}

/** A UUID of version 8 (RFC 9562: custom content) made of a text: the same bundle gives the same document. */
export function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
