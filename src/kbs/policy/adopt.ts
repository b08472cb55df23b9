import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { lockPolicyDirectory, registryPath } from '../registry/registry.ts';
import { type LoadedRegistry, loadRegistry, storeRegistryAnd } from '../registry/registry-file.ts';
import { type AdoptedEntry, adoptInto, type Places, placeEntries } from './adopt-records.ts';
import { unifiedDiff } from './diff.ts';
import { formatFinding, lintPolicy } from './lint.ts';
import { findOldEntries, type OldEntry } from './old-entries.ts';
import { composePolicy, lintOthers, tryBeforeWriting } from './policy.ts';
import { freshPolicy, partsOf, policyPath, readPolicy } from './policy-file.ts';
import { positionsOf } from './rego/positions.ts';
import { readModule } from './rego/statements.ts';
import type { MinimumTcb } from './text.ts';

export interface AdoptRequest extends Places {
  /** The policy with the old entries; the directory's own policy.rego unless given. */
  file?: string | undefined;
  minTcb?: MinimumTcb | undefined;
  opa?: string | undefined;
  /** Time of the adoption: part of what is agreed to, so the same in the plan and in the act. */
  now: Date;
  signal?: AbortSignal | undefined;
}

/** What an adoption would change. */
export interface Adoption {
  /** The policy file that is written. */
  path: string;
  entries: AdoptedEntry[];
  /** From the file with the old entries to the new policy. */
  diff: string;
  warnings: string[];
}

interface Prepared extends Adoption {
  before: string;
  after: string;
  loaded: LoadedRegistry | undefined;
  registry: LoadedRegistry['registry'];
}

/**
 * Says what taking over an older builder's entries would change, and changes nothing.
 * @throws UserError where there are none, one has no resource path, or what is left could not stand beside ours.
 */
export async function planAdoption(directory: string, request: AdoptRequest): Promise<Adoption> {
  const { path, entries, diff, warnings } = await prepare(directory, request);
  return { path, entries, diff, warnings };
}

/**
 * Takes an older builder's entries over into the registry and out of the text, under the lock of the directory. Both
 * files change, or neither; a machine that loses power in between leaves a registry that has the images and a text
 * that still has the entries, and doing it again finishes it.
 * @param agreed the diff that was agreed to: where the files have changed since, nothing is done.
 * @returns what was done, with how the text was tried.
 */
export async function adopt(
  directory: string,
  request: AdoptRequest,
  agreed: string,
): Promise<Adoption & { notes: string[] }> {
  await mkdir(directory, { recursive: true });
  await using _lock = await lockPolicyDirectory(directory, request.signal);
  const { path, entries, diff, warnings, after, loaded, registry } = await prepare(directory, request);
  if (diff !== agreed) {
    throw new UserError(`cannot adopt the entries of ${path}: it, or the registry, has changed meanwhile`, {
      hint: 'start again, and look at the changes once more',
    });
  }
  const note = await tryBeforeWriting(after, registry.images, request);
  await storeRegistryAnd(registryPath(directory), registry, loaded, () =>
    writeFileAtomic(path, after, 0o644),
  );
  return { path, entries, diff, warnings, notes: [note] };
}

async function prepare(directory: string, request: AdoptRequest): Promise<Prepared> {
  const path = policyPath(directory);
  const source = request.file === undefined ? path : resolve(request.file);
  const before = await readPolicy(source);
  if (before === undefined)
    throw new UserError(`cannot adopt the entries of ${source}: there is no such file`);
  if (source !== path && (await readPolicy(path)) !== undefined) {
    throw new UserError(`cannot adopt the entries of ${source}: ${path} is there already`, {
      hint: `append the entries to ${path} and adopt that, or name its folder with --directory`,
    });
  }
  refuseUnreadable(source, before);
  const parts = partsOf(source, before);
  const managed = { start: parts.before.length, end: parts.before.length + parts.managed.length };
  const entries = findOldEntries(before).filter(({ at }) => at < managed.start || at >= managed.end);
  if (entries.length === 0) {
    throw new UserError(`cannot adopt the entries of ${source}: it has none of an older builder`, {
      hint: 'an entry is a rule "allow" that asks for a launch digest, and for no more than that; cvm policy lint shows the rest',
    });
  }
  const positionAt = positionsOf(before);
  const loaded = await loadRegistry(registryPath(directory));
  const placed = placeEntries(entries, request, ({ at }) => positionAt(at).line);
  const { registry, adopted } = adoptInto(directory, loaded?.registry, placed, request.now);
  const left = removeEntries(before, entries);
  await refuseRest(source, before, entries, registry.images, request.minTcb);
  const { text: after, warnings } = await composePolicy(path, left, registry.images, request.minTcb);
  return {
    path,
    entries: adopted,
    diff: unifiedDiff(before, after, source),
    warnings,
    before,
    after,
    loaded,
    registry,
  };
}

function refuseUnreadable(source: string, before: string): void {
  const faults = lintPolicy(before).filter(({ rule }) => rule === 'syntax');
  if (faults.length === 0) return;
  throw new UserError(`cannot adopt the entries of ${source}: it cannot be read as Rego`, {
    details: faults.map((finding) => formatFinding(source, finding)),
    hint: 'correct it there first',
  });
}

/** What is left must be fit to stand beside the managed part; faults are told with their lines in the file as it is. */
async function refuseRest(
  source: string,
  before: string,
  entries: readonly OldEntry[],
  images: LoadedRegistry['registry']['images'],
  minimum: MinimumTcb | undefined,
): Promise<void> {
  let blanked = before;
  for (const { start, end } of entries) {
    blanked =
      blanked.slice(0, start) + blanked.slice(start, end).replaceAll(/[^\n]/g, ' ') + blanked.slice(end);
  }
  const { managed } = await freshPolicy(images, minimum);
  const findings = lintOthers(partsOf(source, blanked), managed).filter(
    ({ severity, rule }) => severity === 'refuse' && rule !== 'import-missing' && rule !== 'path-one-form',
  );
  if (findings.length === 0) return;
  throw new UserError(
    `cannot adopt the entries of ${source}: what is left could not stand beside the managed part`,
    {
      details: findings.map((finding) => `${formatFinding(source, finding)}; ${finding.remedy}`),
      hint: 'correct these rules by hand first: they are not of an older builder, and stay as they are',
    },
  );
}

/**
 * The text without the entries, each with its line end and, between two empty lines, one of them; and with
 * `import rego.v1`, which the managed part needs, in place of imports that it makes an error of.
 */
function removeEntries(text: string, entries: readonly OldEntry[]): string {
  let left = text;
  for (const { start, end } of entries.toReversed()) {
    const lineStart = left.lastIndexOf('\n', start - 1) + 1;
    const isWhole = left.slice(lineStart, start).trim() === '';
    let stop = end + (/^[ \t]*(?:\r?\n|$)/.exec(left.slice(end))?.[0].length ?? 0);
    const head = left.slice(0, isWhole ? lineStart : start);
    if (/(?:^|\n)[ \t]*\r?\n$/.test(head)) stop += /^[ \t]*\r?\n/.exec(left.slice(stop))?.[0].length ?? 0;
    left = head + left.slice(stop);
  }
  return withImport(left);
}

function withImport(text: string): string {
  const { statements } = readModule(text);
  const imports = statements.filter((statement) => statement.kind === 'import');
  if (imports.some(({ path }) => path === 'rego.v1')) return text;
  const old = imports.filter(({ path }) => path === 'future.keywords' || path.startsWith('future.keywords.'));
  const head = statements.find((statement) => statement.kind === 'package');
  if (head === undefined) return text;
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n';
  let changed = text;
  for (const [index, { start, end }] of [...old.entries()].toReversed()) {
    if (index === 0) changed = `${changed.slice(0, start)}import rego.v1${changed.slice(end)}`;
    else changed = changed.slice(0, start) + changed.slice(end).replace(/^[ \t]*\r?\n/, '');
  }
  if (old.length > 0) return changed;
  return `${text.slice(0, head.end)}${lineEnd}${lineEnd}import rego.v1${text.slice(head.end)}`;
}
