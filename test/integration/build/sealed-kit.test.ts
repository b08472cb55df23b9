import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFiles } from '../../../src/bundle/index.ts';
import { findInFile } from '../../e2e/search.ts';
import { secretFiles } from '../../support/secrets.ts';
import { BuildBench, type Outcome } from './bench.ts';

/** A kit, and a folder beside it, with secrets of each known form and of forms that nobody named. */
let bench: BuildBench;
let outcome: Outcome;
let bundle: string;
let key: string;
/** By path below /user_config. */
const secrets: Record<string, Buffer> = {};

async function put(path: string, content: Buffer | string): Promise<void> {
  const file = bench.path(path.replace(/^nvflare\//, 'site-1/'));
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

beforeAll(async () => {
  bench = await BuildBench.make();
  for (const folder of ['nvflare', 'nvflare/startup', 'nvflare/local/custom', 'data'])
    for (const [name, content] of Object.entries(secretFiles())) {
      const path = `${folder}/${name}`;
      if (path === 'nvflare/startup/client.key') continue;
      secrets[path] = content;
      await put(path, content);
    }
  await put('data/labels/classes.txt', 'cat\ndog\n');
  await put('data/labels/id.pem', secrets['data/client.key']!);
  const site = await readFile(bench.path('cc_site-1.yml'), 'utf8');
  await writeFile(
    bench.path('cc_site-1.yml'),
    site.replace(/^( *)nvflare: (.*)$/m, '$1nvflare: $2\n$1data: data'),
  );
  await writeFile(bench.path('builder.yml'), 'machine:\n  vcpus: [1]\nuser_config_plain: [data/labels/]\n');
  outcome = await bench.build();
  expect(outcome.stderr).not.toContain('error:');
  expect(outcome.status).toBe(0);
  bundle = await bench.bundle();
  key = join(bench.path('handoff'), bundle.slice(bundle.lastIndexOf('/')), 'disk.key');
});
afterAll(() => bench?.[Symbol.asyncDispose]());

const plain = [
  'data/labels/classes.txt',
  'nvflare/local/privacy.json',
  'nvflare/startup/client.crt',
  'nvflare/startup/fed_client.json',
  'nvflare/startup/rootCA.pem',
  'nvflare/startup/sub_start.sh',
];
const sealed = () =>
  [
    ...Object.keys(secrets),
    ...['data/labels/id.pem', 'nvflare/local/resources.json', 'nvflare/startup/client.key'],
  ].sort();

describe('a build of a kit that is full of secrets', () => {
  it('leaves none of them in any file of the bundle, neither as it lies there nor as the VM or the receiver sees it', async () => {
    expect(Object.keys(secrets).length).toBeGreaterThan(150);
    for (const file of [...bundleFiles.map((name) => join(bundle, name)), bench.path('target/site-1.tgz')])
      expect([file, await findInFile(file, secrets)]).toEqual([file, []]);
    // That they would be found is proved on one that is public.
    const script = await readFile(bench.path('site-1/startup/sub_start.sh'));
    expect(await findInFile(join(bundle, 'user_config.qcow2'), { script })).toEqual(['script']);
  });

  it('says at its end how many files are plain and how many are sealed, and what was not opened', () => {
    const said = outcome.stdout + outcome.stderr;
    const lines = outcome.stderr.trimEnd().split('\n').slice(-10).join('\n');
    expect(lines).toContain(`user_config: ${plain.length} files plain, ${sealed().length} files sealed`);
    expect(said).toContain('data/labels/id.pem stays sealed, though user_config_plain opens it');
  });

  it('is listed by cvm inspect, part by part', async () => {
    const { stdout } = await bench.run(['inspect', bundle, '--key', key, '--json']);
    const { userConfig } = JSON.parse(stdout);
    expect(userConfig.plain).toEqual(plain);
    expect(userConfig.sealed).toEqual(sealed());
  });

  it('is as it was sealed, by cvm verify', async () => {
    const { stdout } = await bench.run(['verify', bundle, '--key', key]);
    expect(stdout).toMatch(/^ok +startup kit$/m);
    expect(stdout).toMatch(/^ok +sealed payload$/m);
  });

  it('is built again from its record only with the same list in builder.yml', async () => {
    const id = bundle.slice(-12);
    const plan = async () =>
      await bench.run(['rebuild', id, '--plan', '--config', bench.path('builder.yml')]);
    const same = await plan();
    expect(same.stdout + same.stderr).not.toMatch(/startup-kit.*(?:changed|new)/);
    await writeFile(bench.path('builder.yml'), 'machine:\n  vcpus: [1]\n');
    const { stdout, stderr } = await plan();
    expect(stdout + stderr).toMatch(/userConfigPlain: \["data\/labels\/"\] -> none/);
  });
});
