import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { type ArchiveIndex, followLinks, maximumDocument, unusable } from './scan.ts';

/**
 * Parses a JSON document of an archive.
 * @throws UserError naming the document and the first member that is wrong
 */
export function parseDocument<T>(archive: string, path: string, data: Buffer, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(data.toString('utf8'));
  } catch (error) {
    throw unusable(archive, `its ${path} is not valid JSON`, undefined, error);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw unusable(
    archive,
    `its ${path} is not as specified: ${issue.path.join('.') || 'document'}: ${issue.message}`,
  );
}

/** A document by its name in a manifest. @throws UserError where the archive has none */
export function documentOf(archive: string, index: ArchiveIndex, name: string): Buffer {
  const path = followLinks(index, name);
  const data = index.documents.get(path);
  if (data !== undefined) return data;
  const why = index.skipped.has(path)
    ? `its ${name} is larger than ${maximumDocument / 1024 ** 2} MiB`
    : `its manifest names ${name}, which is not in it`;
  throw unusable(archive, why);
}

/** @throws UserError where the bytes are not those that the name of a blob promises */
export function checkDigest(archive: string, name: string, data: Buffer): void {
  const promised = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  const actual = createHash('sha256').update(data).digest('hex');
  if (promised === undefined || promised === actual) return;
  throw unusable(
    archive,
    `its ${name} has the digest sha256:${actual}`,
    'the archive was altered: save the image again',
  );
}
