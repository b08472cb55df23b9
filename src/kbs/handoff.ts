import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exitStatus, hasCode, messageOf, UserError } from '../host/errors.ts';
import { readTextFile, writeFileAtomic } from '../host/files.ts';
import { whyNotOwn } from '../host/folders.ts';
import type { Secret } from '../host/secret.ts';
import { fillTemplate, plainText, readTemplate } from '../host/template.ts';
import { digestEncodings, measurementsOf, policyEntry } from './policy/entry.ts';
import { type ImageRecord, imageRecord } from './registry/record.ts';

/** Names of the files in a hand-off directory. */
export const handoffFiles = {
  key: 'disk.key',
  referenceValues: 'reference-values.json',
  policyEntry: 'policy-entry.rego',
  record: 'record.json',
  readme: 'README.txt',
} as const;

/**
 * Reference values of an image as the payload of an RVPS message of type `sample`, with a second name that tells
 * people what each digest was computed from; no policy reads that one.
 */
export function referenceValues(record: Pick<ImageRecord, 'digests'>) {
  return {
    snp_launch_measurement: measurementsOf(record),
    launch_digests: record.digests.map(({ hex, ...from }) => ({ ...from, ...digestEncodings(hex) })),
  };
}

/**
 * Makes a hand-off directory, mode 0700, or makes one private that is there.
 * @throws UserError where another account could read or replace what is written into it
 */
export async function makeHandoffFolder(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const why = await whyNotOwn(directory);
  if (why !== undefined) {
    throw new UserError(`cannot hand over to ${directory}: ${why}`, {
      hint: 'the disk key would be in its hands: choose an output folder of your own, or take that right away with chown and chmod',
    });
  }
  await chmod(directory, 0o700);
}

/**
 * Writes what the administrator keeps of an image into `directory`, which is made (mode 0700) or made private.
 * The key goes last, so that a hand-off that was interrupted holds none.
 * @param key 128 hex digits, as the key broker is to hold them.
 * @returns absolute path of the key file, mode 0600.
 */
export async function writeHandoff(
  directory: string,
  handoff: { record: ImageRecord; key: Secret },
): Promise<{ keyFile: string }> {
  const { record, key } = handoff;
  if (!/^[0-9a-f]{128}$/.test(key.reveal().toString('latin1'))) {
    throw new Error('the disk key is not 128 lower-case hex digits');
  }
  await makeHandoffFolder(directory);
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const readme = fillTemplate(
    await readTemplate('kbs/handoff-README.txt'),
    { ID: record.id, NAME: record.name, KIND: record.kind, RESOURCE_PATH: record.resourcePath },
    plainText,
  );
  const write = (name: string, data: string | Uint8Array) =>
    writeFileAtomic(join(directory, name), data, 0o600);
  await write(handoffFiles.readme, readme);
  await write(handoffFiles.record, json(record));
  await write(handoffFiles.referenceValues, json(referenceValues(record)));
  await write(handoffFiles.policyEntry, `${policyEntry(record)}\n`);
  await write(handoffFiles.key, key.reveal());
  return { keyFile: join(directory, handoffFiles.key) };
}

/**
 * The administrator's record of an image, from its hand-off directory.
 * @throws UserError where there is none, or it is damaged.
 */
export async function readHandoffRecord(directory: string): Promise<ImageRecord> {
  const file = join(directory, handoffFiles.record);
  const hint = 'name the folder handoff/cvm_<id> that the build wrote';
  const cannot = (cause: string) =>
    new UserError(`cannot read ${file}: ${cause}`, { hint, status: exitStatus.usage });
  let value: unknown;
  try {
    value = JSON.parse(await readTextFile(file));
  } catch (error) {
    throw cannot(hasCode(error, 'ENOENT') ? 'there is no such file' : messageOf(error));
  }
  const parsed = imageRecord.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw cannot(`it is no record of an image: ${issue?.path.join('.')}: ${issue?.message}`);
}
