import { z } from 'zod';

/** Values by name. */
export type ReferenceValues = Record<string, unknown>;

/** A reference value as it is kept. */
export interface StoredValue {
  value: unknown;
  /** Milliseconds since 1970. Only the older era looks at it. */
  expires: number;
}

const message = z.object({
  version: z.literal('0.1.0'),
  type: z.literal('sample'),
  payload: z.base64(),
});

/** How long a value lasts: 12 months, not settable through the API. */
const lifetime = 365 * 86_400_000;

/**
 * Reads an RVPS message of type `sample`.
 * @param body parsed JSON.
 * @param now milliseconds since 1970.
 * @throws Error with the reason.
 */
export function readRvpsMessage(body: unknown, now: number): Map<string, StoredValue> {
  const { data, error } = message.safeParse(body);
  if (data === undefined) {
    const { path, message: reason } = error.issues[0]!;
    throw new Error(`${path.join('.')}: ${reason}`);
  }
  const payload = parseObject(Buffer.from(data.payload, 'base64').toString('utf8'));
  const expires = now + lifetime;
  return new Map(Object.entries(payload).map(([name, value]) => [name, { value, expires }]));
}

/** Reads the values of an earlier run. */
export function storedValues(text: string): Map<string, StoredValue> {
  const stored = z.record(z.string(), z.object({ value: z.unknown(), expires: z.number() }));
  return new Map(Object.entries(stored.parse(JSON.parse(text))));
}

function parseObject(text: string): ReferenceValues {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    throw new Error('the payload is not a JSON object');
  }
}
