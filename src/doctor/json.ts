import type { Result } from './check.ts';
import { isUsable, packagesToInstall } from './text.ts';

/** Raised when a field changes its meaning or goes. */
export const jsonVersion = 1;

/** The results for programs: `version`, `usable`, `packages` that would help, and `checks` as {@link Result}. */
export function renderJson(results: readonly Result[]): string {
  const checks = results.map(({ id, group, title, status, says, hint, details, facts }) => ({
    id,
    group,
    title,
    status,
    says,
    hint: status === 'ok' ? undefined : hint,
    details,
    facts: facts ?? {},
  }));
  const packages = packagesToInstall(results);
  return JSON.stringify({ version: jsonVersion, usable: isUsable(results), packages, checks });
}
