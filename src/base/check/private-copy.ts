import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UserNamespace } from '../../host/namespace.ts';
import { type RunOptions, start, toolError } from '../../host/run.ts';
import { squashfsOptions } from '../../host/squashfs.ts';
import { workDirectory } from '../../host/temp.ts';
import { findTool } from '../../host/tools.ts';

/** Attributes that the namespace's root may set: those of `trusted.` are the real root's alone. */
const attributes = ['--xattrs', '--xattrs-include=*', '--xattrs-exclude=trusted.*'];

/**
 * A base unpacked as a whole, owners and set-id bits included, in which programs of its own can be run. Its files belong to
 * ids of a user namespace. Devices are left out: the CVM, like the namespace, has a /dev of its own.
 */
export class PrivateCopy implements AsyncDisposable {
  readonly #namespace: UserNamespace;
  /** Holds `root`, the copy. */
  readonly #folder: string;
  readonly #scope: AsyncDisposableStack;

  private constructor(namespace: UserNamespace, folder: string, scope: AsyncDisposableStack) {
    this.#namespace = namespace;
    this.#folder = folder;
    this.#scope = scope;
  }

  /** @throws UserError where there are no user namespaces, or no room. */
  static async unpack(image: string, signal?: AbortSignal): Promise<PrivateCopy> {
    await using scope = new AsyncDisposableStack();
    // On a disk, since it is as large as the base; and programs are run there, which /dev/shm may forbid.
    const base = process.env.TMPDIR ?? '/var/tmp';
    const work = scope.use(await workDirectory({ bytes: Number.POSITIVE_INFINITY, base }));
    const namespace = scope.use(await UserNamespace.open());
    const folder = join(work.path, 'copy');
    await mkdir(folder);
    // To the namespace's root this folder is a stranger's; nobody else gets through the private one above.
    await chmod(folder, 0o777);
    // Only the namespace can act for the owners of the files.
    scope.defer(async () => void (await namespace.run(['rm', '-rf', 'root'], { cwd: folder })));
    await namespace.run(['mkdir', '-m', '0755', 'root'], { cwd: folder, signal });

    const tar = ['tar', '-x', '-C', 'root', '-p', '--same-owner', '--numeric-owner', ...attributes];
    const reader = start('sqfs2tar', [image], { signal }, { buffer: { stdout: false } });
    const writer = namespace.start(
      [...tar, '--exclude=dev/*', '--exclude=./dev/*'],
      { cwd: folder, signal },
      { stdin: 'pipe' },
    );
    const results = await Promise.allSettled([reader, writer, pipeline(reader.stdout!, writer.stdin!)]);
    if (results[0].status === 'rejected') throw toolError('sqfs2tar', [image], results[0].reason, { signal });
    if (results[1].status === 'rejected') throw toolError('tar', tar, results[1].reason, { signal });
    if (results[2].status === 'rejected') throw results[2].reason;
    return new PrivateCopy(namespace, folder, scope.move());
  }

  /**
   * Runs a shell script of ours with the copy as its whole file system: no file of the host, no process of the host, none of
   * the caller's keys; its network.
   * @param enter text of templates/base/enter.sh
   * @returns what the script printed
   * @throws execa's error where it fails
   */
  async runInside(enter: string, script: string, options: RunOptions): Promise<string> {
    const apart = ['--mount', '--pid', '--fork', '--kill-child', '--ipc', '--uts'];
    const busybox = findTool('busybox');
    // In a session of its own: it cannot type into the caller's terminal.
    const shell = [busybox, 'setsid', busybox, 'sh', '-c', enter, 'enter.sh', script];
    // No namespace divides keyrings: whoever inherits the caller's session keyring may read the keys in it.
    const ownKeyring = [findTool('keyctl'), 'session', '-'];
    const command = [...ownKeyring, findTool('unshare'), ...apart, '--', ...shell];
    const { stdout } = await this.#namespace.start(command, { ...options, cwd: this.#folder }, { all: true });
    return String(stdout);
  }

  /** Packs it as every base is packed: names sorted, no time later than 0. */
  async pack(target: string, signal?: AbortSignal): Promise<void> {
    const order = ['--sort=name', '--mtime=@0', '--clamp-mtime', '--format=pax', '--numeric-owner'];
    const tar = ['tar', '-c', '-C', 'root', ...order, ...attributes, '.'];
    const reader = this.#namespace.start(tar, { cwd: this.#folder, signal }, { buffer: { stdout: false } });
    const writer = start('tar2sqfs', [...squashfsOptions(), target], { signal }, { stdin: 'pipe' });
    const results = await Promise.allSettled([reader, writer, pipeline(reader.stdout!, writer.stdin!)]);
    if (results[0].status === 'rejected') throw toolError('tar', tar, results[0].reason, { signal });
    if (results[1].status === 'rejected')
      throw toolError('tar2sqfs', [target], results[1].reason, { signal });
    if (results[2].status === 'rejected') throw results[2].reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope.disposeAsync();
  }
}
