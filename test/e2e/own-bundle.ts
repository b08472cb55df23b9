import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { projectRoot } from '../../src/build/builder-file.ts';
import { built } from './built.ts';
import { useFolder, type Vm } from './harness.ts';

const quickstart = join(projectRoot, 'examples/quickstart');

/** What differs from the quickstart's bundle. */
export interface OwnBundle {
  /** Script of `test/e2e/audit` that is the workload; busybox runs it. */
  script: string;
  /** `uid:gid` that it runs as; root unless set. */
  user?: string;
  /** Settings of cc_config that replace the quickstart's, as YAML. */
  settings?: Readonly<Record<string, string>>;
  /** Variables of the build. */
  env?: Readonly<Record<string, string>>;
}

/** Builds a development bundle whose workload looks around in the VM and says what it sees. */
export function bundleWith({ script, user, settings = {}, env = {} }: OwnBundle): Promise<Vm> {
  return useFolder(async (work) => {
    const image = join(work, 'image');
    await mkdir(image);
    await cp(join(projectRoot, 'test/e2e/audit', script), join(image, 'workload.sh'));
    const maker = await readFile(join(quickstart, 'make-archive.sh'), 'utf8');
    const named = user === undefined ? maker : maker.replace('"WorkingDir"', `"User":"${user}","WorkingDir"`);
    await writeFile(join(image, 'make-archive.sh'), named);
    const archive = join(image, 'audit.tar.gz');
    await execa('sh', [join(image, 'make-archive.sh'), archive]);
    await cp(built().kit, join(work, 'site-1'), { recursive: true });

    let text = await readFile(join(quickstart, 'cc_site-1.yml'), 'utf8');
    const replaced = { docker_archive: archive, user_config: '{ nvflare: site-1 }', ...settings };
    for (const [key, value] of Object.entries(replaced)) {
      // A key with what is indented below it.
      text = `${text.replace(new RegExp(`^${key}:.*\n(?:[ \t]+.*\n)*`, 'm'), '')}\n${key}: ${value}\n`;
    }
    const config = join(work, 'cc_site-1.yml');
    await writeFile(config, text);
    const output = join(work, 'out');
    await mkdir(output);
    await execa(join(projectRoot, 'bin/cvm'), ['build', '--dev', '--output', output, config], {
      cwd: work,
      env: { ...env, XDG_STATE_HOME: built().stateHome },
    });
    const { stdout } = await execa('find', [join(output, 'target'), '-maxdepth', '1', '-name', 'cvm_*']);
    return stdout;
  });
}

/** What the script said in the VM, a line each, without its `audit: `. */
export async function auditLines(vm: Vm): Promise<string[]> {
  const log = (await vm.log('workload.log')) ?? '';
  return [...log.matchAll(/^audit: (.*)$/gm)].map((match) => match[1]!);
}
