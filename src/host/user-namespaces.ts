import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { exitStatus, UserError } from './errors.ts';
import { start } from './run.ts';
import { installCommand, locateTool, packageOf, type ToolName, tools } from './tools.ts';

/** What decides whether an ordinary account can have a root's view of files: user namespaces with a range of ids. */
export interface NamespaceFacts {
  /** Account name and id. */
  name: string;
  uid: number;
  /** Texts of /etc/subuid and /etc/subgid; empty where there is none. */
  subuid: string;
  subgid: string;
  /** /proc/sys/user/max_user_namespaces; undefined where the kernel has none. */
  maximum: number | undefined;
  /** Debian's switch kernel.unprivileged_userns_clone is 0. */
  switchedOff: boolean;
  /** Ubuntu's kernel.apparmor_restrict_unprivileged_userns is 1. */
  appArmorRestricts: boolean;
  /** There is an AppArmor profile for mmdebstrap, as Ubuntu 24.04 brings one. */
  appArmorProfile: boolean;
  /** Those programs of a base build that are not installed. */
  missing: readonly ToolName[];
  /** Whether a namespace with this account alone could be made, and one with the whole range, as mmdebstrap makes it. */
  single: Trial;
  ranged: Trial;
}

/** What came of a trial: that it worked, or the last words of the program. */
export type Trial = true | string;

/** Why there are no user namespaces, and what to do. */
export interface NamespaceFault {
  cause: string;
  hint: string;
}

/** Ids that a range must have for the accounts of a Debian system, as adduser gives them. */
const rangeOfIds = 65_536;

/**
 * Why this account cannot use user namespaces, or undefined where it can. The trial with the whole range has the last
 * word: a program may be allowed by a profile of its own what others are refused.
 */
export function explainNamespaces(facts: NamespaceFacts): NamespaceFault | undefined {
  if (facts.ranged === true) return undefined;
  const asRoot = 'or run it as root';
  if (facts.maximum === 0) {
    const hint = `sysctl -w user.max_user_namespaces=15000, ${asRoot}`;
    return { cause: 'user.max_user_namespaces is 0', hint };
  }
  if (facts.switchedOff) {
    const hint = `sysctl -w kernel.unprivileged_userns_clone=1, ${asRoot}`;
    return { cause: 'kernel.unprivileged_userns_clone is 0', hint };
  }
  if (facts.single !== true && facts.appArmorRestricts) {
    return {
      cause: 'AppArmor refuses user namespaces to ordinary accounts (apparmor_restrict_unprivileged_userns)',
      hint: facts.appArmorProfile
        ? `apparmor_parser -r /etc/apparmor.d/mmdebstrap, ${asRoot}`
        : `give mmdebstrap an AppArmor profile with the rule "userns", ${asRoot}`,
    };
  }
  if (facts.single !== true) {
    return {
      cause: `the kernel refuses user namespaces (${facts.single})`,
      hint: `in a container, allow it unshare(2); else ${asRoot.replace('or ', '')}`,
    };
  }
  for (const [file, text] of [
    ['/etc/subuid', facts.subuid],
    ['/etc/subgid', facts.subgid],
  ] as const) {
    if (idsOf(text, facts) >= rangeOfIds) continue;
    return {
      cause: `${file} has no range of ${rangeOfIds} ids for ${facts.name}`,
      hint: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${facts.name}, ${asRoot}`,
    };
  }
  const [absent] = facts.missing;
  if (absent !== undefined) {
    return { cause: `${absent} is not installed`, hint: installCommand([packageOf(tools[absent])]) };
  }
  return {
    cause: `a range of ids cannot be mapped (${facts.ranged})`,
    hint: `newuidmap and newgidmap must be setuid root; ${asRoot.replace('or ', '')} otherwise`,
  };
}

/** Ids that a subuid(5) text gives to an account, by name or by id. */
function idsOf(text: string, { name, uid }: Pick<NamespaceFacts, 'name' | 'uid'>): number {
  const counts = text
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter(([who]) => who === name || who === String(uid))
    .map(([, , count]) => Number(count));
  return Math.max(0, ...counts.filter(Number.isSafeInteger));
}

/** Tries user namespaces for the calling account, and looks at what decides. Root needs none. */
export async function namespaceFault(signal?: AbortSignal): Promise<NamespaceFault | undefined> {
  if (process.getuid?.() === 0) return undefined;
  const text = (file: string) => readFile(file, 'utf8').catch(() => '');
  const [subuid, subgid, maximum, clone, restricts, profile, single, ranged] = await Promise.all([
    text('/etc/subuid'),
    text('/etc/subgid'),
    text('/proc/sys/user/max_user_namespaces'),
    text('/proc/sys/kernel/unprivileged_userns_clone'),
    text('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
    text('/etc/apparmor.d/mmdebstrap'),
    trial('unshare', ['--user', '--map-root-user', 'true'], signal),
    trial('mmdebstrap', ['--unshare-helper', 'true'], signal),
  ]);
  const uid = process.getuid?.() ?? 0;
  return explainNamespaces({
    name: accountName(uid),
    uid,
    subuid,
    subgid,
    maximum: maximum === '' ? undefined : Number(maximum),
    switchedOff: clone.trim() === '0',
    appArmorRestricts: restricts.trim() === '1',
    appArmorProfile: profile !== '',
    missing: (['mmdebstrap', 'newuidmap'] as const).filter((name) => locateTool(name) === undefined),
    single,
    ranged,
  });
}

/** An id without a name, as in some containers, stands for itself. */
function accountName(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return String(uid);
  }
}

async function trial(
  name: 'unshare' | 'mmdebstrap',
  args: string[],
  signal: AbortSignal | undefined,
): Promise<Trial> {
  if (locateTool(name) === undefined) return `${name} is not installed`;
  const { exitCode, stderr } = await start(name, args, { signal, cwd: '/' }, { reject: false });
  signal?.throwIfAborted();
  return exitCode === 0 ? true : (String(stderr).trim().split('\n').at(-1) ?? '') || `status ${exitCode}`;
}

/**
 * Makes sure that mmdebstrap can unpack a system: as root, or in user namespaces.
 * @param doing completes *cannot …*
 * @throws UserError with the cause and what to do.
 */
export async function requireNamespaces(doing: string, signal?: AbortSignal): Promise<void> {
  const fault = await namespaceFault(signal);
  if (fault === undefined) return;
  throw new UserError(`cannot ${doing} as an ordinary account: ${fault.cause}`, {
    hint: fault.hint,
    status: exitStatus.usage,
  });
}
