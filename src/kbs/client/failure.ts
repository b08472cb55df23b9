import { UserError } from '../../host/errors.ts';

/** Why a request to a key broker did not do what it was meant to. */
export class KbsFailure extends UserError {
  /** Name of the meaning in one of the tables: transport.ts, refusals.ts. */
  readonly id: string;
  /** The cause alone, without *cannot …*. */
  readonly means: string;

  constructor(id: string, doing: string, means: string, hint: string, cause?: unknown) {
    super(`cannot ${doing}: ${means}`, { hint, cause });
    this.name = 'KbsFailure';
    this.id = id;
    this.means = means;
  }
}

/** True for a {@link KbsFailure} with one of the ids. */
export function failedBy(error: unknown, ...ids: string[]): error is KbsFailure {
  return error instanceof KbsFailure && ids.includes(error.id);
}

/** Characters in a row that a text and a secret may have in common without its being taken for the secret. */
const shortestPiece = 16;

/**
 * Text of a server for people: short, and without any of the given secrets, which a proxy that echoes requests would
 * otherwise put on the terminal: neither whole nor any {@link shortestPiece} characters of one, in either case.
 */
export function quotable(text: string, secrets: readonly string[] = []): string {
  // More is never shown. What the cut leaves of a secret is a piece of it, and masked as one.
  let safe = text.slice(0, 4096).toWellFormed();
  for (const secret of secrets) safe = withoutPieces(safe, secret);
  safe = safe.replaceAll(/\s+/g, ' ').trim();
  return safe.length > 300 ? `${safe.slice(0, 297)}...` : safe;
}

/** How a server could write a secret down, besides by its characters: base64 of it, wherever it stands in what is encoded. */
export function spellings(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength);
  const encoded = [0, 1, 2].flatMap((from) => {
    const rest = bytes.subarray(from);
    return [rest.toString('base64').replace(/=+$/, ''), rest.toString('base64url')];
  });
  return [bytes.toString('latin1'), ...new Set(encoded)];
}

function withoutPieces(text: string, secret: string): string {
  if (secret === '') return text;
  // ASCII only: other letters may change their length with their case.
  const lower = (from: string) => from.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
  const [haystack, known] = [lower(text), lower(secret)];
  const length = Math.min(shortestPiece, known.length);
  let safe = '';
  let at = 0;
  while (at < text.length) {
    let end = at + length;
    if (end > text.length || !known.includes(haystack.slice(at, end))) {
      safe += text[at];
      at += 1;
      continue;
    }
    while (end < text.length && known.includes(haystack.slice(at, end + 1))) end += 1;
    safe += '[secret]';
    at = end;
  }
  return safe;
}
