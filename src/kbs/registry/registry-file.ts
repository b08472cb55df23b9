import { rm } from 'node:fs/promises';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { readTextFile, writeFileAtomic } from '../../host/files.ts';
import { firstJsonFault, type Position } from './json-position.ts';
import { type ImageRecord, imageRecord } from './record.ts';

type Context = z.RefinementCtx;

/** Adds an issue for every image whose property repeats an earlier one's. */
function refuseRepeats(images: ImageRecord[], property: 'id' | 'resourcePath', context: Context): void {
  const seen = new Set<string>();
  for (const [index, image] of images.entries()) {
    if (property === 'resourcePath' && image.status !== 'active') continue;
    if (seen.has(image[property])) {
      const message = `${image[property]} belongs to another image already`;
      context.addIssue({ code: 'custom', path: ['images', index, property], message });
    }
    seen.add(image[property]);
  }
}

/** The registry file. `kind` belongs to the file: production and development images never share one. */
const registryFile = z
  .strictObject({
    version: z.literal(1, 'must be 1: the file was written by another version of the builder'),
    kind: z.enum(['production', 'development']),
    images: z.array(imageRecord),
  })
  .superRefine((registry, context) => {
    refuseRepeats(registry.images, 'id', context);
    refuseRepeats(registry.images, 'resourcePath', context);
    for (const [index, { id, kind }] of registry.images.entries()) {
      if (kind === registry.kind) continue;
      const message = `${id} is a ${kind} image in a ${registry.kind} registry`;
      context.addIssue({ code: 'custom', path: ['images', index, 'kind'], message });
    }
  });

export type Registry = z.infer<typeof registryFile>;

/** The registry file's text and meaning. */
export interface LoadedRegistry {
  text: string;
  registry: Registry;
}

/** Bytes: room for a hundred thousand images. */
const largestRegistry = 256 * 2 ** 20;

/**
 * Reads and checks a registry file; undefined where there is none.
 * @throws UserError *cannot read the registry <file>:<line>:<column>: …*
 */
export async function loadRegistry(path: string): Promise<LoadedRegistry | undefined> {
  let text: string;
  try {
    text = await readTextFile(path, largestRegistry);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new UserError(`cannot read the registry ${path}: ${messageOf(error)}`, { cause: error });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw damaged(path, firstJsonFault(text), 'it is not JSON from here on', error);
  }
  const { data, error } = registryFile.safeParse(json);
  if (data !== undefined) return { text, registry: data };
  const issue = error.issues[0]!;
  const what = issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`;
  throw damaged(path, positionOf(text, issue.path), what, error);
}

function damaged(path: string, at: Position, what: string, cause: unknown): UserError {
  return new UserError(`cannot read the registry ${path}:${at.line}:${at.column}: ${what}`, {
    hint: `correct it there, or put ${backupOf(path)} (the state before the last change) in its place`,
    cause,
  });
}

/** Where a property stands in the text. JSON is read as YAML here because that parser keeps positions. */
function positionOf(text: string, path: PropertyKey[]): Position {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, schema: 'json' });
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true) as
      | { range?: [number, number, number] }
      | undefined;
    if (node?.range === undefined) continue;
    const { line, col } = lines.linePos(node.range[0]);
    return { line, column: col };
  }
  return { line: 1, column: 1 };
}

/** Where the last good state is kept. */
export function backupOf(path: string): string {
  return `${path}.bak`;
}

/** Replaces a registry file, and keeps what was there as its backup. The caller holds the lock. */
export async function storeRegistry(path: string, registry: Registry, before: LoadedRegistry | undefined) {
  const checked = registryFile.safeParse(registry);
  if (checked.error) {
    throw new UserError(`cannot write the registry ${path}: ${checked.error.issues[0]!.message}`);
  }
  if (before !== undefined) await writeFileAtomic(backupOf(path), before.text, 0o644);
  await writeFileAtomic(path, `${JSON.stringify(checked.data, null, 2)}\n`, 0o644);
}

/**
 * {@link storeRegistry}, and another file that is made from it: where `also` fails, the registry is as it was before.
 * The caller holds the lock.
 */
export async function storeRegistryAnd(
  path: string,
  registry: Registry,
  before: LoadedRegistry | undefined,
  also: () => Promise<void>,
): Promise<void> {
  await storeRegistry(path, registry, before);
  try {
    await also();
  } catch (error) {
    if (before === undefined) await rm(path, { force: true });
    else await writeFileAtomic(path, before.text, 0o644);
    throw error;
  }
}
