import { describe, expect, it } from 'vitest';
import { explainNamespaces, type NamespaceFacts } from '../../../src/host/user-namespaces.ts';

const working: NamespaceFacts = {
  name: 'ada',
  uid: 1000,
  subuid: 'ada:100000:65536\n',
  subgid: 'ada:100000:65536\n',
  maximum: 15_000,
  switchedOff: false,
  appArmorRestricts: false,
  appArmorProfile: false,
  missing: [],
  single: true,
  ranged: true,
};
const refused = 'unshare: unshare failed: Operation not permitted';
const broken = (facts: Partial<NamespaceFacts>) =>
  explainNamespaces({ ...working, ranged: refused, ...facts });

describe('an account that may use user namespaces', () => {
  it('has no fault', () => expect(explainNamespaces(working)).toBeUndefined());

  it('has none on Ubuntu 24.04 either, where mmdebstrap may by its profile what unshare may not', () => {
    const facts = { appArmorRestricts: true, appArmorProfile: true, single: refused };
    expect(explainNamespaces({ ...working, ...facts })).toBeUndefined();
  });
});

describe('an account that may not', () => {
  it.each<[string, Partial<NamespaceFacts>, RegExp, RegExp]>([
    [
      'max_user_namespaces',
      { maximum: 0, single: refused },
      /max_user_namespaces is 0/,
      /sysctl -w user\.max/,
    ],
    [
      "Debian's switch",
      { switchedOff: true, single: refused },
      /userns_clone is 0/,
      /sysctl -w kernel\.unpriv/,
    ],
    [
      'AppArmor with a profile',
      { appArmorRestricts: true, appArmorProfile: true, single: refused },
      /AppArmor/,
      /apparmor_parser -r/,
    ],
    [
      'AppArmor without',
      { appArmorRestricts: true, single: refused },
      /AppArmor/,
      /profile with the rule "userns"/,
    ],
    ['a container', { single: refused }, /kernel refuses .*not permitted/, /container/],
    ['no range of ids', { subuid: '' }, /\/etc\/subuid has no range/, /usermod --add-subuids .* ada/],
    ['a range that is too small', { subuid: 'ada:100000:1000\n' }, /\/etc\/subuid/, /usermod/],
    ["somebody else's range", { subgid: 'bob:100000:65536\n' }, /\/etc\/subgid/, /usermod/],
    ['no newuidmap', { missing: ['newuidmap'] }, /newuidmap is not installed/, /apt-get install uidmap/],
    ['a newuidmap that maps nothing', {}, /cannot be mapped/, /setuid root/],
  ])('is told of %s and what to do', (_, facts, cause, hint) => {
    expect(broken(facts)?.cause).toMatch(cause);
    expect(broken(facts)?.hint).toMatch(hint);
  });

  it('is not told of subuid where the range is given to its number', () => {
    const fault = broken({ subuid: '1000:100000:65536', subgid: '# none\nada:x:y\n1000:100000:65536' });
    expect(fault?.cause).toMatch(/cannot be mapped/);
  });
});
