import { constants, open } from 'node:fs/promises';
import { exitStatus, hasCode, messageOf, UserError } from '../host/errors.ts';
import { type AttestationReport, parseAttestationReport } from '../measure/attestation/index.ts';
import { MeasurementError } from '../measure/index.ts';
import { parseDigest } from './digest-text.ts';

/** Reports and texts with a digest are small. */
const largestSubject = 4096;

const hint =
  'name an attestation report (1184 bytes), or give a launch digest: 96 hex digits, or base64 of its 48 bytes';

/**
 * What a diagnosis is about: a launch digest as text, a file with one, or a file with an attestation report, whose
 * signature is not verified.
 * @throws UserError with the status of bad usage for anything else.
 */
export async function readSubject(
  subject: string,
): Promise<{ digest: Buffer; report: AttestationReport | undefined }> {
  const direct = parseDigest(subject);
  if (direct !== undefined) return { digest: direct, report: undefined };
  const bytes = await readSmall(subject);
  const written = bytes.length <= 256 ? parseDigest(bytes.toString('latin1')) : undefined;
  if (written !== undefined) return { digest: written, report: undefined };
  try {
    const report = parseAttestationReport(bytes);
    return { digest: report.measurement, report };
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    const message = error.message.replace('attestation report', () => `attestation report ${subject}`);
    throw new UserError(message, { hint, status: exitStatus.usage, cause: error });
  }
}

async function readSmall(path: string): Promise<Buffer> {
  const cannot = (cause: string) =>
    new UserError(`cannot read ${path}: ${cause}`, { hint, status: exitStatus.usage });
  try {
    // A pipe without a writer must not hold it up.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile() || found.size > largestSubject) throw cannot('it is no small regular file');
    return await file.readFile();
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENAMETOOLONG')) {
      throw cannot('it is neither a launch digest nor a file');
    }
    throw cannot(messageOf(error));
  }
}
