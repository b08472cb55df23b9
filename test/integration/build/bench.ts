import { execFileSync, spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { registryPath } from '../../../src/kbs/registry/registry.ts';
import { reachableCheckout } from '../../support/reachable.ts';
import { seedCache } from './real-base.ts';

const quickstart = join(projectRoot, 'examples/quickstart');

/** How a build ended. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  uid?: number;
  gid?: number;
  cwd?: string;
  env?: Record<string, string>;
}

/** Another account than root's: Debian's nobody and nogroup. */
export const nobody = { uid: 65_534, gid: 65_534 };

/** A folder of one's own with cache, state, kit and archive: a build there touches nothing else. */
export class BuildBench implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param name of the site, and of the kit */
  static async make(): Promise<BuildBench> {
    const bench = new BuildBench(await mkdtemp(join(tmpdir(), 'build-test-')));
    await seedCache(bench.path('cache/cvm-builder'), { initrd: true });
    execFileSync(join(quickstart, 'make-archive.sh'), [bench.path('image.tar.gz')]);
    execFileSync(join(quickstart, 'make-kit.sh'), [bench.path('site-1'), 'site-1']);
    await bench.configure('image.tar.gz');
    await writeFile(bench.path('builder.yml'), 'machine:\n  vcpus: [1, 2]\n');
    return bench;
  }

  /** The development registry. */
  get registry(): string {
    return registryPath(this.path('state/cvm-builder/development'));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes the site's configuration, cc_site-1.yml. */
  async configure(archive: string, more = ''): Promise<void> {
    const text = await readFile(join(quickstart, 'cc_site-1.yml'), 'utf8');
    const own = text.replace('made/quickstart.tar.gz', archive).replace('made/site-1', 'site-1');
    await writeFile(this.path('cc_site-1.yml'), `${own}${more}`);
  }

  start(args: readonly string[], options: StartOptions = {}) {
    const { env = {}, ...account } = options;
    const checkout = options.uid === undefined ? projectRoot : reachableCheckout();
    return spawn(join(checkout, 'bin/cvm'), args, {
      cwd: this.folder,
      env: {
        PATH: '/usr/bin:/bin',
        HOME: this.folder,
        XDG_CACHE_HOME: this.path('cache'),
        XDG_STATE_HOME: this.path('state'),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...account,
    });
  }

  run(args: readonly string[], options: StartOptions = {}): Promise<Outcome> {
    return ended(this.start(args, options));
  }

  /** `cvm build --dev` of the site. */
  build(more: readonly string[] = [], options: StartOptions = {}): Promise<Outcome> {
    return this.run(this.buildArguments(more), options);
  }

  buildArguments(more: readonly string[] = []): string[] {
    return ['build', '--dev', '--config', this.path('builder.yml'), ...more, this.path('cc_site-1.yml')];
  }

  /** Names below a folder of the bench; none where it is absent. */
  async list(name: string): Promise<string[]> {
    return (await readdir(this.path(name)).catch(() => [])).sort();
  }

  /** The folder of the only bundle. */
  async bundle(): Promise<string> {
    const found = (await this.list('target')).filter((name) => /^cvm_[0-9a-f]{12}$/.test(name));
    if (found.length !== 1) throw new Error(`not one bundle but ${found.join(', ')}`);
    return this.path(`target/${found[0]}`);
  }

  /** Forgets bundles and hand-offs, keeps cache and state. */
  async clear(): Promise<void> {
    for (const name of ['target', 'handoff']) await rm(this.path(name), { recursive: true, force: true });
  }

  copyOf(name: string, to: string): Promise<void> {
    return cp(this.path(name), this.path(to), { recursive: true });
  }

  async [Symbol.asyncDispose]() {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Waits for a build and collects what it said. */
export function ended(process: ReturnType<BuildBench['start']>): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  process.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  process.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    process.on('error', reject);
    process.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}
