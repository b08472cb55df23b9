import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { BuildBench, type Outcome } from '../build/bench.ts';

const quickstart = join(projectRoot, 'examples/quickstart');

/** A row of the table that a run ends with. */
export interface Row {
  id: string;
  state: string;
  bundle: string;
}

/** A FLARE project of so many sites on a bench: project.yml, a cc_config and a kit for each, provisioned twice. */
export class ProjectBench implements AsyncDisposable {
  readonly bench: BuildBench;
  readonly names: readonly string[];

  private constructor(bench: BuildBench, names: readonly string[]) {
    this.bench = bench;
    this.names = names;
  }

  static async make(count: number): Promise<ProjectBench> {
    const bench = await BuildBench.make();
    const names = Array.from({ length: count }, (_, index) => `site-${index + 1}`);
    const project = new ProjectBench(bench, names);
    // An older run of FLARE's, whose kits are not to be taken.
    await mkdir(bench.path('workspace/example_project/prod_00/site-1/startup'), { recursive: true });
    for (const name of names) {
      await mkdir(bench.path('workspace/example_project/prod_01'), { recursive: true });
      execFileSync(join(quickstart, 'make-kit.sh'), [project.kit(name), name]);
      await project.configure(name);
    }
    await writeFile(bench.path('project.yml'), projectText(names));
    return project;
  }

  kit(name: string): string {
    return this.bench.path(`workspace/example_project/prod_01/${name}`);
  }

  /** Writes a site's cc_config, as an author does: without the kit, which is the project's to add. */
  async configure(name: string, { archive = 'image.tar.gz', more = '' } = {}): Promise<void> {
    const text = await readFile(join(quickstart, 'cc_site-1.yml'), 'utf8');
    const own = text.replace('made/quickstart.tar.gz', archive).replace(/^user_config:\n.*\n/m, '');
    await writeFile(this.bench.path(`cc_${name}.yml`), `${own}${more}`);
  }

  arguments(more: readonly string[] = []): string[] {
    const { bench } = this;
    return [
      'build',
      '--dev',
      '--config',
      bench.path('builder.yml'),
      '--project',
      bench.path('project.yml'),
      ...more,
    ];
  }

  build(more: readonly string[] = []): Promise<Outcome> {
    return this.bench.run(this.arguments(more));
  }

  key(id: string): string {
    return this.bench.path(`handoff/cvm_${id}/disk.key`);
  }

  /** Whether a site's key opens the LUKS header on a site's root drive. */
  opens(keyOf: string, rootOf: string): boolean {
    const header = this.bench.path(`${rootOf}.luks`);
    const drive = this.bench.path(`target/cvm_${rootOf}/crypt_root.qcow2`);
    execFileSync('qemu-img', [
      'dd',
      '-f',
      'qcow2',
      '-O',
      'raw',
      'bs=1M',
      'count=4',
      `if=${drive}`,
      `of=${header}`,
    ]);
    const test = [
      'open',
      '--test-passphrase',
      '--disable-locks',
      '--type',
      'luks2',
      '--key-file',
      this.key(keyOf),
    ];
    try {
      execFileSync('cryptsetup', [...test, header], { stdio: 'pipe' });
      return true;
    } catch (error) {
      // 2: no key available with this passphrase (cryptsetup(8), RETURN CODES).
      if ((error as { status?: number }).status === 2) return false;
      throw error;
    }
  }

  /** Forgets bundles, hand-offs and registry. */
  async clear(): Promise<void> {
    await this.bench.clear();
    await rm(this.bench.path('state'), { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.bench[Symbol.asyncDispose]();
  }
}

/** The last table on standard output, by site. */
export function rowsOf({ stdout }: Outcome): Map<string, Row> {
  const lines = stdout.split('\n');
  const head = lines.findLastIndex((line) => line.startsWith('SITE '));
  const rows = lines.slice(head + 1).filter((line) => /^\S+ +(?:[0-9a-f]{12}|-) /.test(line));
  return new Map(
    rows.map((line) => {
      const [, name, id, state, bundle] = /^(\S+) +(\S+) +(\S+) +(?:-|[\d.]+ s|\d+ min \d+ s) +(.+)$/.exec(
        line,
      )!;
      return [name!, { id: id!, state: state!, bundle: bundle! }];
    }),
  );
}

/** As FLARE's guide has it: each site has its cc_config, the administrator none. */
function projectText(names: readonly string[]): string {
  const sites = names.map(
    (name) => `  - name: ${name}\n    type: client\n    org: nvidia\n    cc_config: cc_${name}.yml\n`,
  );
  return `api_version: 3
name: example_project
participants:
${sites.join('')}  - name: admin@nvidia.com
    type: admin
    org: nvidia
    role: project_admin
`;
}
