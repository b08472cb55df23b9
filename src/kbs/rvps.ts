/** A message to the reference value provider of a KBS; reference value ingestion, message version 0.1.0. */
export interface RvpsMessage {
  version: '0.1.0';
  /** The extractor: `sample` takes a plain object of names and values, unsigned. */
  type: 'sample';
  /** Standard base64 of a JSON object. */
  payload: string;
}

/**
 * Wraps reference values for `POST /kbs/v0/reference-value`. A name that is known already loses its old value: lists
 * are not merged, so each message carries them whole.
 */
export function rvpsMessage(values: Readonly<Record<string, unknown>>): RvpsMessage {
  const payload = Buffer.from(JSON.stringify(values)).toString('base64');
  return { version: '0.1.0', type: 'sample', payload };
}
