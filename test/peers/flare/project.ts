import { spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { readManifest } from '../../../src/bundle/index.ts';
import { defaultCacheRoot } from '../../../src/graph/cache.ts';
import { developmentCa } from '../../../src/kbs/dev-kbs/index.ts';
import { peersBundle, preparedPeer } from '../peer.ts';
import { ccConfig, type ProjectOptions, projectFile } from './texts.ts';

/** Folder of the peer's virtual environment; undefined where it could not be prepared. */
export const flare = preparedPeer('flare');

/** How `nvflare provision` ended, and all that it and the builder said, in order. */
export interface Provisioned {
  status: number | null;
  output: string;
}

/**
 * A project folder as the guide's reader has it, with an administrator's checkout of the builder in `builder/`. The home
 * folder is the project folder; the cache is this account's own.
 */
export class Project implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param clients names of the sites beside server1 */
  static async make(clients: readonly string[], options: ProjectOptions = {}): Promise<Project> {
    const project = new Project(await mkdtemp(join(tmpdir(), 'cvm-flare-')));
    await project.#installBuilder();
    await mkdir(project.path('docker'));
    const archive = project.path('docker/nvflare-site.tar.gz');
    await run(join(projectRoot, 'examples/quickstart/make-archive.sh'), [archive]);
    const text = projectFile(clients, project.path('builder/cvm_build.sh'), options);
    await writeFile(project.path('project.yml'), text);
    await writeFile(project.path('cc_server1.yml'), ccConfig('server'));
    for (const name of clients) await writeFile(project.path(`cc_${name}.yml`), ccConfig('client'));
    return project;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** What an administrator sets up once: kbs-client, the key broker's certificate, builder.yml. */
  async #installBuilder(): Promise<void> {
    const builder = this.path('builder');
    const names = ['bin', 'src', 'templates', 'cvm_build.sh', 'package.json', 'package-lock.json'];
    for (const name of names) await cp(join(projectRoot, name), join(builder, name), { recursive: true });
    await symlink(join(projectRoot, 'node_modules'), join(builder, 'node_modules'));
    const { certFile } = await developmentCa(this.path('broker'));
    await mkdir(join(builder, 'binaries'));
    await cp(certFile, join(builder, 'binaries/rootCA.crt'));
    // Never run here: the bundles of these tests are not booted.
    await writeFile(join(builder, 'binaries/kbs-client'), '#!/usr/bin/busybox sh\nexit 1\n');
    await chmod(join(builder, 'binaries/kbs-client'), 0o755);
    const { firmware } = await readManifest(peersBundle());
    const settings = {
      kbs: { url: 'https://kbs.example.org:8999' },
      policy_directory: this.path('policy'),
      accept_firmware: [firmware.sha256],
    };
    await writeFile(join(builder, 'builder.yml'), JSON.stringify(settings));
  }

  /** Runs FLARE's own command in the project folder. */
  provision(env: Record<string, string> = {}): Promise<Provisioned> {
    return run(join(flare!, 'venv/bin/nvflare'), ['provision', '-p', 'project.yml'], {
      cwd: this.folder,
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: this.folder,
        XDG_CACHE_HOME: dirname(defaultCacheRoot()),
        PYTHONPATH: join(import.meta.dirname, 'without-long-sleeps'),
        PYTHONUNBUFFERED: '1',
        ...env,
      },
    });
  }

  /** The folder of a participant's package. */
  packageOf(participant: string): string {
    return this.path(`workspace/example_project/prod_00/${participant}`);
  }

  readFile(name: string): Promise<string> {
    return readFile(this.path(name), 'utf8');
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(this.path(name), text);
  }

  async [Symbol.asyncDispose]() {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs a program; what it says on both streams, as it comes. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Provisioned> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output }));
  });
}
