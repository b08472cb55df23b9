import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { localFirmware } from '../../../src/base/index.ts';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { openCache } from '../../../src/graph/cache.ts';
import { sha256File } from '../../../src/host/files.ts';
import { type DevelopmentKbs, startDevelopmentKbs } from '../../../src/kbs/dev-kbs/index.ts';
import { buildSites, sitesOfProject, standingsOf } from '../../../src/project/index.ts';
import { ProjectBench } from './bench.ts';

let project: ProjectBench;
beforeAll(async () => {
  project = await ProjectBench.make(2);
});
afterAll(() => project?.[Symbol.asyncDispose]());

const { signal } = new AbortController();
const path = (name: string) => project.bench.path(name);
const serve = (options: Partial<Parameters<typeof startDevelopmentKbs>[0]> = {}) =>
  startDevelopmentKbs({
    stateDirectory: path('kbs'),
    registryDirectory: path('kbs'),
    inMemory: true,
    era: 'main',
    ...options,
  });

/** A run for production, with a kbs-client that nothing here starts. */
async function run(kbs: DevelopmentKbs) {
  await mkdir(path('binaries'), { recursive: true });
  await writeFile(path('binaries/kbs-client'), 'stand-in');
  await chmod(path('binaries/kbs-client'), 0o755);
  await copyFile(kbs.caFile, path('binaries/rootCA.crt'));
  const cacheRoot = path('cache/cvm-builder');
  const cache = openCache(cacheRoot);
  const firmware = await localFirmware({ cache, baseImages: join(projectRoot, 'base_images') });
  const { hex } = await sha256File(firmware!.file);
  await mkdir(path('policy'), { recursive: true });
  await writeFile(
    path('builder.yml'),
    `kbs:
  url: ${kbs.url}
  ca: ${kbs.caFile}
  admin_key: ${kbs.adminKeyFile}
policy_directory: ${path('policy')}
output: ${project.bench.folder}
machine:
  vcpus: [1]
`,
  );
  const common = { builderFile: path('builder.yml'), development: false, acceptFirmware: [hex] };
  const kits = path('workspace/example_project/prod_01');
  const sites = await sitesOfProject(path('project.yml'), common, kits);
  for (const { settings } of sites) Object.assign(settings, { binaries: path('binaries'), cacheRoot });
  const events = () => {};
  const standings = await standingsOf(sites, { cache, signal, events });
  const outcomes = await buildSites(standings, { cache, signal, events, note: events, warn: events });
  return [...outcomes.values()];
}

const keyFiles = async () =>
  (await readdir(path('handoff'), { recursive: true })).filter((name) => name.endsWith('disk.key'));

describe('a production run', () => {
  it('whose pushes failed pushes at the next run, and builds nothing again', async () => {
    const unsafe = await serve({ insecureTokens: true });
    const { port } = unsafe;
    try {
      const refused = {
        state: 'failed',
        error: { message: expect.stringContaining('keys would not be safe') },
      };
      expect(await run(unsafe)).toMatchObject([refused, refused]);
    } finally {
      await unsafe.close();
    }
    const built = await project.bench.list('target');
    expect(await keyFiles()).toHaveLength(2);

    await using sound = await serve({ listen: { host: '127.0.0.1', port } });
    const outcomes = await run(sound);
    expect(outcomes.map(({ state }) => state)).toEqual(['pushed', 'pushed']);
    expect(await project.bench.list('target')).toEqual(built);
    expect(await keyFiles()).toEqual([]);
    const keys = new Set<string>();
    for (const outcome of outcomes) {
      const id = 'id' in outcome ? outcome.id : '';
      keys.add(String(await sound.received.resource(`keys/root/${id}`)));
    }
    expect([...keys]).toEqual([
      expect.stringMatching(/^[0-9a-f]{128}$/),
      expect.stringMatching(/^[0-9a-f]{128}$/),
    ]);

    // Of a production image the key may be with the key broker alone.
    expect((await run(sound)).map(({ state }) => state)).toEqual(['complete', 'complete']);
  });
});
