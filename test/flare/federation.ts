import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { projectRoot } from '../../src/build/builder-file.ts';
import { bundleFolderPattern } from '../../src/bundle/index.ts';

/** Programs of the virtual environment with FLARE, which test/flare/run makes. */
const environment = process.env.CVM_FLARE_VENV;
const cvm = join(projectRoot, 'bin/cvm');

/** A step that the administrator's script has done, and seconds since its start. */
export interface Step {
  step: string;
  seconds: number;
  [more: string]: unknown;
}

/** How `cvm boot` ended, and all that it said. */
export interface Boot {
  status: number | undefined;
  output: string;
}

/** A private copy of examples/flare, where the guide's steps are done. Gone with its scope, as is what was started. */
export class Federation implements AsyncDisposable {
  readonly #work: string;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  private constructor(work: string) {
    this.#work = work;
  }

  static async make(): Promise<Federation> {
    if (environment === undefined)
      throw new Error('FLARE is not installed: start this by npm run test:flare');
    const federation = new Federation(await mkdtemp(join(tmpdir(), 'flare-')));
    await cp(join(projectRoot, 'examples/flare'), federation.path('.'), { recursive: true });
    const file = federation.path('project.yml');
    const project = await readFile(file, 'utf8');
    await writeFile(file, project.replaceAll('/home/admin/cvm-builder', projectRoot));
    return federation;
  }

  path(name: string): string {
    return join(this.#work, 'flare', name);
  }

  /** Step 1 of the guide. */
  async makeImage(): Promise<void> {
    await this.#run(this.path('make-image.sh'), [environment!, 'nvflare-site.tar.gz']);
  }

  /** Step 2. @returns what FLARE and the builder said. */
  async provision(): Promise<string> {
    const withoutLongSleeps = join(projectRoot, 'test/peers/flare/without-long-sleeps');
    const { all } = await this.#start(join(environment!, 'bin/nvflare'), ['provision', '-p', 'project.yml'], {
      env: { PYTHONPATH: withoutLongSleeps, PYTHONUNBUFFERED: '1' },
    });
    return all;
  }

  package(participant: string): string {
    return this.path(`workspace/example_project/prod_00/${participant}`);
  }

  /** Step 3. @returns the bundle's folder at the site. */
  async unpack(participant: string): Promise<string> {
    const site = this.path('sites');
    await mkdir(site, { recursive: true });
    await this.#run('tar', ['-zxf', join(this.package(participant), `${participant}.tgz`), '-C', site]);
    const [name] = await readdir(join(site, participant));
    if (name === undefined || !bundleFolderPattern.test(name)) throw new Error(`there is no bundle: ${name}`);
    return join(site, participant, name);
  }

  /** Step 5: starts a CVM. One that does not end well ends everything. */
  async boot(bundle: string, ...options: string[]): Promise<Boot> {
    const { exitCode, all } = await this.#start(cvm, ['boot', bundle, '--timeout', '3000', ...options], {
      reject: false,
    });
    if (exitCode !== 0) {
      console.error(`--- ${bundle}, the last lines:\n${all.split('\n').slice(-60).join('\n')}\n---`);
      this.#stop.abort();
    }
    return { status: exitCode, output: all };
  }

  /** Starts a CVM and cuts it off as soon as its workload has said `words` for the `count`-th time. */
  async bootUntil(bundle: string, words: string, count: number): Promise<void> {
    const cutOff = new AbortController();
    const cancelSignal = AbortSignal.any([cutOff.signal, this.#stop.signal]);
    const child = this.#start(cvm, ['boot', bundle, '--timeout', '1500'], { reject: false, cancelSignal });
    let ended = false;
    void child.then(() => {
      ended = true;
    });
    const said = async () => (await this.log(bundle, 'workload.log').catch(() => '')).split(words).length - 1;
    while (!ended && (await said()) < count) await delay(3000);
    const early = ended;
    cutOff.abort();
    const { all } = await child;
    if (early)
      throw new Error(`the CVM ended before it said ${words}:\n${all.split('\n').slice(-60).join('\n')}`);
  }

  /**
   * Step 5 of the administrator: waits for `site`, runs the job there, takes its result, shuts all down. Ends everything
   * where that fails.
   */
  async administer(site: string, job: string, result: string): Promise<Step[]> {
    const words = [this.package('admin@nvidia.com'), 'admin@nvidia.com', site, job, result, '2700'];
    try {
      const lines = (await this.#python(['admin.py', ...words])).split('\n');
      return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Step);
    } catch (error) {
      this.#stop.abort();
      throw error;
    }
  }

  /** A NumPy array as JSON holds it. */
  async array(file: string): Promise<unknown> {
    const program = 'import json, numpy, sys; print(json.dumps(numpy.load(sys.argv[1]).tolist()))';
    return JSON.parse(await this.#run(join(environment!, 'bin/python'), ['-c', program, this.path(file)]));
  }

  /** `cvm logs` of one file on applog. */
  async log(bundle: string, name: string): Promise<string> {
    return await this.#run(cvm, ['logs', '--no-explain', bundle, name]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#running);
    await rm(this.#work, { recursive: true });
  }

  async #python([program, ...more]: [string, ...string[]]): Promise<string> {
    return await this.#run(join(environment!, 'bin/python'), [join(import.meta.dirname, program), ...more]);
  }

  async #run(program: string, words: readonly string[]): Promise<string> {
    const { all } = await this.#start(program, words, {});
    return all;
  }

  #start(
    program: string,
    words: readonly string[],
    {
      env,
      ...more
    }: { reject?: boolean; cancelSignal?: AbortSignal; env?: Readonly<Record<string, string>> },
  ) {
    const child = execa(program, words, {
      cwd: this.path('.'),
      // Records of development images go the way of the images.
      env: { XDG_STATE_HOME: join(this.#work, 'state'), ...env },
      stdin: 'ignore',
      all: true,
      cancelSignal: this.#stop.signal,
      ...more,
    });
    this.#running.add(child);
    return child;
  }
}
