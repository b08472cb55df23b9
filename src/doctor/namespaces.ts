import { namespaceFault } from '../host/user-namespaces.ts';
import type { Check } from './check.ts';

/** Whether the base can be built without root: by trying. */
export const namespaceCheck: Check = {
  id: 'machine.namespaces',
  title: 'user namespaces',
  run: async ({ situation, signal }) => {
    if (situation.isRoot) return { status: 'ok', says: 'not needed by root' };
    const fault = await namespaceFault(signal);
    if (fault === undefined) return { status: 'ok', says: 'usable: the base can be built without root' };
    const needed = (await situation.stepsAhead()).has('base');
    const says = `the base cannot be built by an ordinary account: ${fault.cause}`;
    return { status: needed ? 'problem' : 'warning', says, hint: fault.hint };
  },
};
