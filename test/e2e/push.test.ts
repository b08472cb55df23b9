import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { projectRoot } from '../../src/build/builder-file.ts';
import { loadSettings } from '../../src/build/settings.ts';
import { build, buildOptions } from '../../src/build.ts';
import { readManifest } from '../../src/bundle/index.ts';
import { type DevelopmentKbs, startDevelopmentKbs } from '../../src/kbs/dev-kbs/index.ts';
import { built } from './built.ts';

const execute = promisify(execFile);

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'push-'));
});
afterEach(() => rm(work, { recursive: true, force: true }));

const builderFile = () => join(work, 'builder.yml');

/** A production build of the quickstart that knows the KBS and its administrator. */
async function buildFor(kbs: DevelopmentKbs) {
  const { production } = built();
  await mkdir(join(work, 'policy'), { recursive: true });
  await writeFile(
    builderFile(),
    `kbs:
  url: ${kbs.url}
  ca: ${kbs.caFile}
  admin_key: ${kbs.adminKeyFile}
policy_directory: ${join(work, 'policy')}
output: ${work}
`,
  );
  await cp(join(dirname(dirname(production.folder)), 'binaries'), join(work, 'binaries'), {
    recursive: true,
  });
  const { firmware } = await readManifest(production.folder);
  const settings = {
    ...(await loadSettings({
      configFile: join(projectRoot, 'examples/quickstart/cc_site-1.yml'),
      builderFile: builderFile(),
      development: false,
      project: 'quickstart',
      acceptFirmware: [firmware.sha256],
    })),
    binaries: join(work, 'binaries'),
  };
  const targets = await build.targetsOf(settings);
  const { result } = await build.graph.run({
    options: buildOptions(settings),
    targets,
    signal: new AbortController().signal,
  });
  return result;
}

const serve = (options: Partial<Parameters<typeof startDevelopmentKbs>[0]> = {}) =>
  startDevelopmentKbs({
    stateDirectory: join(work, 'kbs'),
    registryDirectory: join(work, 'kbs'),
    inMemory: true,
    era: 'main',
    ...options,
  });

const policyCommand = (...args: string[]) =>
  execute(join(projectRoot, 'bin/cvm'), ['policy', ...args, '--config', builderFile()]);

test('a build hands policy, key and reference values to the key broker and keeps no key; a retired image has none there', async () => {
  await using kbs = await serve();
  const { manifest, handoff } = await buildFor(kbs);
  const { resource } = manifest.kbs;
  expect((await kbs.received.resource(resource))?.toString()).toMatch(/^[0-9a-f]{128}$/);
  expect(await kbs.received.policy()).toBe(await readFile(join(work, 'policy/policy.rego'), 'utf8'));
  expect(await kbs.received.policy()).toContain(JSON.stringify(resource));
  const values = await kbs.received.referenceValues();
  expect(values.snp_launch_measurement).toEqual(
    expect.arrayContaining(manifest.launch.digests.flatMap(({ hex, base64 }) => [hex, base64])),
  );
  expect(await readdir(handoff)).not.toContain('disk.key');

  const { stdout } = await policyCommand('retire', manifest.id);
  expect(stdout).toContain(`the key at ${resource} was deleted`);
  expect(await kbs.received.resource(resource)).toBeUndefined();
  expect(await kbs.received.policy()).not.toContain(resource);
});

test('a build fails where the key broker believes forged tokens; bundle and key stay for a push that is done again', async () => {
  await using unsafe = await serve({ insecureTokens: true });
  const failed = await buildFor(unsafe).catch((error: unknown) => error);
  expect(failed).toMatchObject({
    message: expect.stringContaining('keys would not be safe there'),
    hint: expect.stringContaining('cvm policy push'),
  });
  expect(await unsafe.received.policy()).toBeUndefined();
  const [handoff] = (await readdir(join(work, 'handoff'))).filter((name) => name.startsWith('cvm_'));
  const id = handoff!.slice('cvm_'.length);
  expect(await unsafe.received.resource(`keys/root/${id}`)).toBeUndefined();
  expect(await readdir(join(work, 'handoff', handoff!))).toContain('disk.key');
  expect(await readdir(join(work, 'target'))).toContain('site-1.tgz');
  await unsafe.close();

  await using sound = await serve({ listen: { host: '127.0.0.1', port: unsafe.port } });
  const { stdout } = await policyCommand('push');
  expect(stdout).toContain(`key of ${id}`);
  expect((await sound.received.resource(`keys/root/${id}`))?.toString()).toMatch(/^[0-9a-f]{128}$/);
  expect(await readdir(join(work, 'handoff', handoff!))).not.toContain('disk.key');
});
