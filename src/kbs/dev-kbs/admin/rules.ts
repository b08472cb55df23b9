import type { KeyObject } from 'node:crypto';
import { UserError } from '../../../host/errors.ts';

/** One line of a newer broker's access list. It does not see the method: who may send a key may also delete it. */
export interface AccessRule {
  /** The token's `role` claim. */
  role: string;
  /** Regular expression for the whole request URI, query included: begins with `^/kbs` and ends with `$`. */
  allowedEndpoints: string;
}

/** What an administrator's token is held against. */
export interface AdminRules {
  /** Ed25519 public key. */
  key: KeyObject;
  /** A key in a token's own header is believed (era `main`). */
  headerKeys: boolean;
  /** Nobody is asked for a token. */
  insecureApi: boolean;
  access: readonly { role: string; endpoints: RegExp }[];
  issuer: string | undefined;
  audience: string | undefined;
}

/** The role that the builder's own tokens carry may do everything. */
const defaultAccess: readonly AccessRule[] = [{ role: 'image-builder', allowedEndpoints: '^/kbs/v0/.+$' }];

/**
 * Reads an access list.
 * @throws UserError where an expression is not anchored as the real broker demands, or is none.
 */
export function parseAccess(rules: readonly AccessRule[] = defaultAccess): AdminRules['access'] {
  return rules.map(({ role, allowedEndpoints }) => {
    const refuse = (cause: string) =>
      new UserError(`cannot use the access rule ${JSON.stringify(allowedEndpoints)}: ${cause}`);
    if (!allowedEndpoints.startsWith('^/kbs') || !allowedEndpoints.endsWith('$')) {
      throw refuse('it must begin with ^/kbs and end with $');
    }
    try {
      return { role, endpoints: new RegExp(allowedEndpoints) };
    } catch {
      throw refuse('it is not a regular expression');
    }
  });
}
