/** Header and claims of a token as they stand in it, unverified; undefined where it is not a signed token. */
export function jwtClaims(
  token: string,
): { header: Record<string, unknown>; claims: Record<string, unknown> } | undefined {
  const match = /^([\w-]+)\.([\w-]+)\.[\w-]+$/.exec(token);
  if (match === null) return undefined;
  const [header, claims] = [match[1]!, match[2]!].map(parsePart);
  return header === undefined || claims === undefined ? undefined : { header, claims };
}

function parsePart(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
