import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { projectRoot } from '../../src/build/builder-file.ts';
import { developmentKbsUrl } from '../../src/build/key-broker.ts';
import { loadSettings } from '../../src/build/settings.ts';
import { build, buildOptions } from '../../src/build.ts';
import { bundleFolderPattern, readManifest } from '../../src/bundle/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import type { Built, BuiltBundle } from './built.ts';
import { watchProcesses } from './process-watch.ts';

const config = join(projectRoot, 'examples/quickstart/cc_site-1.yml');
const kit = join(projectRoot, 'examples/quickstart/made/site-1');

/** Builds the bundles that all boots share, once, in a state folder of their own; the cache is the user's. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = await workDirectory({ bytes: 2 ** 30 });
  try {
    const stateHome = join(root.path, 'state');
    const state = join(stateHome, 'cvm-builder/development');
    const processesOfBuild = join(root.path, 'processes');
    const development = await buildDevelopment(join(root.path, 'development'), stateHome, processesOfBuild);
    const production = await buildProduction(join(root.path, 'production'), state, development);
    project.provide('built', {
      development,
      production,
      stateHome,
      state,
      kit,
      processesOfBuild,
    } satisfies Built);
  } catch (error) {
    await root[Symbol.asyncDispose]();
    throw error;
  }
  return async () => {
    await root[Symbol.asyncDispose]();
  };
}

/** As a user does: by cvm_build.sh, reading the one line that tells where the bundle is. */
async function buildDevelopment(output: string, stateHome: string, processes: string): Promise<BuiltBundle> {
  using watch = watchProcesses(20);
  const { stdout } = await execa(join(projectRoot, 'cvm_build.sh'), ['--dev', '--output', output, config], {
    env: { XDG_STATE_HOME: stateHome },
  });
  await writeFile(processes, watch.text(), { mode: 0o600 });
  const archive = /^CVM Bundle (\S+) is ready$/m.exec(stdout)?.[1];
  if (archive === undefined) throw new Error(`the build did not say where its bundle is:\n${stdout}`);
  const folders = (await readdir(dirname(archive))).filter((name) => bundleFolderPattern.test(name));
  const id = bundleFolderPattern.exec(folders[0] ?? '')?.[1];
  if (id === undefined) throw new Error(`there is no bundle folder beside ${archive}`);
  const folder = join(output, 'target', `cvm_${id}`);
  return { id, folder, archive, handoff: join(output, 'handoff', `cvm_${id}`) };
}

/**
 * The kbs-client of the production bundle is a stand-in that opens a connection to the key broker if it is ever run,
 * and gives an answer that is no key.
 */
const standInClient = `#!/usr/bin/busybox sh
echo 'kbs-client was run' > /dev/console
echo 'kbs-client was run' | busybox nc 10.0.2.100 8999 > /dev/null
exit 1
`;

async function buildProduction(output: string, state: string, twin: BuiltBundle): Promise<BuiltBundle> {
  const { firmware } = await readManifest(twin.folder);
  const binaries = join(output, 'binaries');
  await mkdir(binaries, { recursive: true });
  await writeFile(join(binaries, 'kbs-client'), standInClient);
  await chmod(join(binaries, 'kbs-client'), 0o755);
  await cp(join(state, 'ca.crt'), join(binaries, 'rootCA.crt'));
  const builderFile = join(output, 'builder.yml');
  const policies = join(output, 'policy');
  await mkdir(policies);
  await writeFile(builderFile, `kbs:\n  url: ${developmentKbsUrl}\npolicy_directory: ${policies}\n`);
  const acceptFirmware = [firmware.sha256];
  const request = { configFile: config, builderFile, development: false, output, acceptFirmware };
  const settings = { ...(await loadSettings(request)), binaries };
  const { result } = await build.graph.run({
    options: buildOptions(settings),
    targets: await build.targetsOf(settings),
    signal: new AbortController().signal,
  });
  const { folder, archive, handoff, manifest } = result;
  return { id: manifest.id, folder, archive, handoff };
}
