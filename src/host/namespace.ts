import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { Options, ResultPromise } from 'execa';
import { messageOf, UserError } from './errors.ts';
import { type RunOptions, run, start } from './run.ts';

/** Ids in a row that belong to nobody else: 0 to 65535 of a namespace are these on the host. */
const count = 65_536;

/**
 * Where root has no range of its own in /etc/subuid: the last one of those that systemd keeps for containers (systemd,
 * docs/UIDS-GIDS.md: 524288 to 1879048191).
 */
const rootRange = 0x6fff0000;

/**
 * A user namespace in which a program can be root, chown, mount and chroot. Its ids are subordinate ones: to the host, its
 * root is a stranger who owns nothing, not the caller. Ends with its scope, and with this process however that ends.
 */
export class UserNamespace implements AsyncDisposable {
  readonly #holder: ResultPromise;

  private constructor(holder: ResultPromise) {
    this.#holder = holder;
  }

  /** @throws UserError where the machine, or the account, has no such namespaces. */
  static async open(): Promise<UserNamespace> {
    const root = process.getuid?.() === 0;
    const ranges = await Promise.all(['/etc/subuid', '/etc/subgid'].map((file) => ownRange(file, root)));
    // It answers once it is in the namespace; it ends when its input does, even where this process is killed.
    const options = { stdin: 'pipe', stdout: 'pipe', buffer: false, reject: false } as const;
    const holder = start('unshare', ['--user', '--', 'cat'], {}, options);
    holder.stdin!.on('error', () => {});
    holder.stdin!.write('.');
    const answer = await Promise.race([once(holder.stdout!, 'data'), holder]);
    if (!Array.isArray(answer)) {
      throw new UserError('cannot make a user namespace: this machine, or this account, may not', {
        hint: hintOf(root),
      });
    }
    const namespace = new UserNamespace(holder);
    try {
      await namespace.#mapIds(root, ranges as [number, number]);
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw new UserError(`cannot map ids into a user namespace: ${messageOf(error)}`, {
        hint: hintOf(root),
        cause: error,
      });
    }
    return namespace;
  }

  async #mapIds(root: boolean, [uids, gids]: [number, number]): Promise<void> {
    const pid = this.#holder.pid!;
    if (root) {
      await writeFile(`/proc/${pid}/uid_map`, `0 ${uids} ${count}`);
      await writeFile(`/proc/${pid}/gid_map`, `0 ${gids} ${count}`);
    } else {
      await run('newuidmap', [String(pid), '0', String(uids), String(count)]);
      await run('newgidmap', [String(pid), '0', String(gids), String(count)]);
    }
  }

  /**
   * Starts a host program as root of the namespace. It gets the working directory as it is, also where it could not look up
   * the way there.
   * @param command program and arguments
   */
  start<Extra extends Options>(
    command: readonly string[],
    options: RunOptions = {},
    extra: Extra = {} as Extra,
  ): ResultPromise {
    return start('nsenter', this.#enter(command), options, extra);
  }

  /** Runs a host program to its end as {@link start} does; see `run`. */
  run(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return run('nsenter', this.#enter(command), options);
  }

  #enter(command: readonly string[]): string[] {
    return [`--user=/proc/${this.#holder.pid}/ns/user`, '--setuid=0', '--setgid=0', '--', ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.stdin!.end();
    await this.#holder;
  }
}

function hintOf(root: boolean): string {
  return root
    ? 'in a container, give it the right to make user namespaces, or work outside of it'
    : 'run it as root; or let the administrator allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) and give this account a range in /etc/subuid and /etc/subgid';
}

/** First id of this account's range in /etc/subuid or /etc/subgid (subuid(5): name or id, first, count). */
async function ownRange(file: string, root: boolean): Promise<number> {
  const { username, uid } = userInfo();
  const text = await readFile(file, 'utf8').catch(() => '');
  const found = parseRange(text, [username, String(uid)]);
  if (found !== undefined) return found;
  if (root) return rootRange;
  throw new UserError(`cannot make a user namespace: ${username} has no range of ${count} ids in ${file}`, {
    hint: `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${username}`,
  });
}

/** The first id of the first range that is large enough. */
export function parseRange(text: string, owners: readonly string[]): number | undefined {
  for (const line of text.split('\n')) {
    const [owner = '', first, size] = line.split(':');
    if (owners.includes(owner) && Number(size) >= count) return Number(first);
  }
  return undefined;
}
