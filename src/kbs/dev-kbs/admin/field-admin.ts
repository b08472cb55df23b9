import { messageOf } from '../../../host/errors.ts';
import { bearerToken, type Claims, openSigned } from '../jws.ts';
import { Refusal } from '../refusal.ts';
import type { AdminRules } from './rules.ts';

/** Seconds that two clocks may differ: the default of jwt-simple 0.12. */
const tolerance = 15 * 60;

/**
 * An administrator's token as v0.14 reads it: signed by the one key; `exp`, `nbf` and `iat` count where they are
 * there; issuer, audience and role are not looked at.
 * @param now seconds since 1970.
 * @throws Refusal `AdminAuth`
 */
export function checkFieldAdmin(authorization: string | undefined, rules: AdminRules, now: number): void {
  const token = bearerToken(authorization);
  if (token === undefined) {
    throw new Refusal('AdminAuth', 'no bearer token', 'Failed to parse HTTP Auth Bearer header');
  }
  try {
    checkTimes(openSigned(token, rules.key).claims, now);
  } catch (error) {
    throw new Refusal('AdminAuth', messageOf(error), 'Admin Token verification failed');
  }
}

function checkTimes({ exp, nbf, iat }: Claims, now: number): void {
  for (const time of [exp, nbf, iat]) {
    if (time !== undefined && typeof time !== 'number') throw new Error('a time is not a number');
  }
  if (exp !== undefined && (exp as number) + tolerance < now) throw new Error('expired');
  for (const start of [nbf, iat]) {
    if (start !== undefined && (start as number) - tolerance > now) throw new Error('not valid yet');
  }
}
