import type { Secret } from '../../host/secret.ts';

/** The forms in which a secret that is known may lie in a file: its bytes, as hex in either case, as base64; of hex, what it says. */
export function formsOf(secret: Secret): Buffer[] {
  const bytes = secret.reveal();
  const text = bytes.toString('latin1');
  const raw = /^(?:[0-9a-f]{2})+$/.test(text) ? [bytes, Buffer.from(text, 'hex')] : [bytes];
  return raw.flatMap((form) => {
    const hex = form.toString('hex');
    // Of base64 the last characters depend on what follows.
    const base64 = form.toString('base64').replace(/=+$/, '').slice(0, -1);
    return [form, Buffer.from(hex), Buffer.from(hex.toUpperCase()), Buffer.from(base64)];
  });
}
