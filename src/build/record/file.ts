import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { makeHandoffFolder } from '../../kbs/index.ts';
import { type BuildRecord, buildRecordSchema, buildRecordVersion } from './schema.ts';

/** Name of the build record in a hand-off folder. */
export const buildRecordName = 'build.json';

/** Larger than any record: cc_config and its paths are small. */
const limitBytes = 4 * 2 ** 20;

/**
 * Writes `build.json` into a hand-off folder, which is made (mode 0700) or made private: the record names files of the
 * administrator's, which are nobody else's business.
 */
export async function writeBuildRecord(handoff: string, record: BuildRecord): Promise<void> {
  const text = `${JSON.stringify(buildRecordSchema.parse(record), undefined, 2)}\n`;
  await makeHandoffFolder(handoff);
  await writeFileAtomic(join(handoff, buildRecordName), text, 0o600);
}

/**
 * Reads the build record of a hand-off folder; undefined where there is none. It decides what is built, so it has to be this
 * account's own (or root's), and nobody else's to write.
 * @throws UserError where it is damaged, somebody else's, or of a later builder.
 */
export async function readBuildRecord(handoff: string): Promise<BuildRecord | undefined> {
  const file = join(handoff, buildRecordName);
  const cannot = (cause: string, hint?: string) =>
    new UserError(`cannot read ${file}: ${cause}`, {
      ...(hint === undefined ? {} : { hint }),
      status: exitStatus.usage,
    });
  let value: unknown;
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile() || found.size > limitBytes) throw cannot('it is not a small regular file');
    if (![0, process.getuid?.()].includes(found.uid)) throw cannot('it belongs to another account');
    if ((found.mode & 0o022) !== 0) throw cannot('other accounts may write to it', `chmod 600 ${file}`);
    value = JSON.parse(await handle.readFile('utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    if (error instanceof UserError) throw error;
    throw cannot(hasCode(error, 'ELOOP') ? 'it is a symbolic link' : messageOf(error));
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > buildRecordVersion) {
    throw cannot(
      `it has version ${version}, this builder knows ${buildRecordVersion}`,
      'use the builder that wrote it',
    );
  }
  const parsed = buildRecordSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw cannot(`it is no build record: ${issue?.path.join('.')}: ${issue?.message}`);
}
