/** Bytes in a launch digest (SHA-384). */
const digestSize = 48;

/**
 * A launch digest as tools write it: 96 hex digits with or without `0x`, base64 of the 48 bytes (sev-snp-measure), or
 * base64 of the hex text (snpguest). White space around it is ignored.
 * @returns 48 bytes, or undefined for any other text. 64 hex digits are none of these: they are somebody's SHA-256,
 *   though they could be read as base64.
 */
export function parseDigest(text: string): Buffer | undefined {
  const trimmed = text.trim();
  const direct = fromHex(trimmed);
  if (direct !== undefined) return direct;
  if (/^[0-9a-f]*$/i.test(trimmed)) return undefined;
  const decoded = fromBase64(trimmed);
  if (decoded === undefined) return undefined;
  return decoded.length === digestSize ? decoded : fromHex(decoded.toString('latin1').trim());
}

function fromHex(text: string): Buffer | undefined {
  return /^(0x)?[0-9a-f]{96}$/i.test(text) ? Buffer.from(text.replace(/^0x/i, ''), 'hex') : undefined;
}

/** Standard base64, padded or not; Node's decoder alone would skip what is no base64. */
function fromBase64(text: string): Buffer | undefined {
  if (text.length > 200 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '') ? bytes : undefined;
}
