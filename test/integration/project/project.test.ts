import { appendFile, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builderCode } from '../../../src/build/record/builder-code.ts';
import { readBuildRecord } from '../../../src/build/record/file.ts';
import { packBundle } from '../../../src/bundle/index.ts';
import { openDrive } from '../../../src/drives/index.ts';
import { sha256File } from '../../../src/host/files.ts';
import type { Registry } from '../../../src/kbs/index.ts';
import type { Outcome } from '../build/bench.ts';
import { ProjectBench, type Row, rowsOf } from './bench.ts';

let project: ProjectBench;
let first: Outcome;
let built: Map<string, Row>;

beforeAll(async () => {
  project = await ProjectBench.make(3);
  first = await project.build();
  expect(first.stderr).not.toContain('error:');
  built = rowsOf(first);
});
afterAll(() => project?.[Symbol.asyncDispose]());

const names = ['site-1', 'site-2', 'site-3'];
const images = async () => (JSON.parse(await readFile(project.bench.registry, 'utf8')) as Registry).images;
const states = (outcome: Outcome) => [...rowsOf(outcome).values()].map(({ state }) => state);
const archiveTimes = () =>
  Promise.all(names.map(async (name) => (await stat(project.bench.path(`target/${name}.tgz`))).mtimeMs));

/** Runs again, and expects the named sites alone to be built, each for its reason. */
async function expectBuiltAgain(sites: Readonly<Record<string, RegExp>>): Promise<void> {
  const outcome = await project.build();
  expect(outcome.status, outcome.stderr).toBe(0);
  const now = rowsOf(outcome);
  for (const name of names) {
    const why = sites[name];
    expect(now.get(name)!.state, name).toBe(why === undefined ? 'complete' : 'built');
    expect(now.get(name)!.id === built.get(name)!.id, name).toBe(why === undefined);
    if (why === undefined) continue;
    const said = outcome.stderr.split('\n').find((line) => line.includes(`${name} is to be built: `));
    expect(said).toMatch(why);
  }
  built = now;
}

describe('a run that builds a project', () => {
  it('ends with a table of all sites, and prints nothing that could pass for the line of one', () => {
    expect(first.status).toBe(0);
    expect([...built.keys()]).toEqual(names);
    for (const [name, { id, state, bundle }] of built) {
      expect(id).toMatch(/^[0-9a-f]{12}$/);
      expect(state).toBe('built');
      expect(bundle).toBe(project.bench.path(`target/${name}.tgz`));
    }
    expect(first.stdout.trimEnd().split('\n').at(-1)).toBe(
      '3 of 3 sites are complete, 3 built now, 0 failed',
    );
    expect(first.stdout + first.stderr).not.toContain('is ready');
  });

  it('makes what the sites share once, and says how far each is', () => {
    for (const title of [
      'Base system',
      'Firmware',
      'Workload layers',
      'Key broker',
      'Initrd, generic part',
    ]) {
      expect(
        first.stdout.split('\n').filter((line) => line.includes(`${title} ...`)),
        title,
      ).toHaveLength(1);
    }
    for (const name of names) expect(first.stdout).toMatch(new RegExp(`${name}: done in`));
  });

  it('leaves a bundle, an archive and a hand-off for each, and nothing else', async () => {
    const folders = [...built.values()].map(({ id }) => `cvm_${id}`).sort();
    expect(await project.bench.list('target')).toEqual(
      [...folders, ...names.map((name) => `${name}.tgz`)].sort(),
    );
    expect(await project.bench.list('handoff')).toEqual(folders);
    const registered = await images();
    expect(registered.map(({ id }) => `cvm_${id}`).sort()).toEqual(folders);
    for (const { status, project: of } of registered)
      expect([status, of]).toEqual(['active', 'example_project']);
  });

  it('gives each site its own kit, of the newest run of FLARE', async () => {
    for (const [name, { id }] of built) {
      const record = await readBuildRecord(project.bench.path(`handoff/cvm_${id}`));
      expect(record).toMatchObject({ name, project: 'example_project', builder_sha256: await builderCode() });
      expect(record!.inputs.user_config.folders).toEqual({ nvflare: project.kit(name) });
      await using drive = await openDrive(project.bench.path(`target/cvm_${id}/user_config.qcow2`));
      const certificate = await drive.readFile('/nvflare/startup/client.crt', 1 << 20);
      expect(certificate!.equals(await readFile(`${project.kit(name)}/startup/client.crt`)), name).toBe(true);
    }
  });

  it('gives each site a key that opens its own root drive and no other', () => {
    const ids = [...built.values()].map(({ id }) => id);
    const opened = ids.flatMap((key) =>
      ids.filter((root) => project.opens(key, root)).map((root) => `${key} ${root}`),
    );
    expect(opened).toEqual(ids.map((id) => `${id} ${id}`));
  });
});

describe('a second run', () => {
  it('builds nothing where all is as it was, whatever the time stamps say', async () => {
    const before = [await archiveTimes(), await project.bench.list('target'), await images()];
    const later = new Date(Date.now() + 86_400_000);
    for (const file of [project.bench.path('cc_site-1.yml'), project.bench.path('image.tar.gz')]) {
      await utimes(file, later, later);
    }
    const outcome = await project.build();
    expect(outcome.status).toBe(0);
    expect(states(outcome)).toEqual(['complete', 'complete', 'complete']);
    expect([...rowsOf(outcome)].map(([name, { id }]) => [name, id])).toEqual(
      [...built].map(([name, { id }]) => [name, id]),
    );
    expect([await archiveTimes(), await project.bench.list('target'), await images()]).toEqual(before);
  });

  it('says beforehand, with --plan, what it would build', async () => {
    await project.configure('site-2', { more: 'vault_integrity: false\n' });
    const before = await project.bench.list('target');
    const { stdout, status } = await project.build(['--plan']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^site-1 +[0-9a-f]{12} +complete /m);
    expect(stdout).toMatch(/^site-2 +- +to be built +vaultIntegrity: true -> false$/m);
    expect(await project.bench.list('target')).toEqual(before);
  });

  it('builds the site whose settings changed', () =>
    expectBuiltAgain({ 'site-2': /: vaultIntegrity: true -> false$/ }));

  it('builds the site whose startup kit changed', async () => {
    await writeFile(`${project.kit('site-3')}/local/privacy.json`, '{"other": true}');
    await expectBuiltAgain({ 'site-3': /: the startup kit changed$/ });
  });

  it('builds the site whose archive lost a byte, or has gone', async () => {
    const damaged = project.bench.path('target/site-1.tgz');
    const bytes = await readFile(damaged);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(damaged, bytes);
    await rm(project.bench.path('target/site-3.tgz'));
    await expectBuiltAgain({ 'site-1': /site-1\.tgz is damaged: /, 'site-3': /: it has no bundle$/ });
  });

  it('builds the site whose drive was exchanged, with manifest.json rewritten to fit', async () => {
    const { id } = built.get('site-2')!;
    const folder = project.bench.path(`target/cvm_${id}`);
    const [drive, manifest] = ['user_data.qcow2', 'manifest.json'].map((name) => join(folder, name));
    await appendFile(drive!, Buffer.alloc(65_536));
    const { hex: sha256, size: bytes } = await sha256File(drive!);
    const values = JSON.parse(await readFile(manifest!, 'utf8'));
    values.files['user_data.qcow2'] = { sha256, bytes };
    await writeFile(manifest!, `${JSON.stringify(values, undefined, 2)}\n`);
    await packBundle({ folder, name: 'site-2', out: project.bench.path('target/site-2.tgz') });
    await expectBuiltAgain({ 'site-2': /site-2\.tgz is damaged: / });
  });

  it('takes no archive at its word that the administrator has no record of', async () => {
    const { id } = built.get('site-2')!;
    await rm(project.bench.path(`handoff/cvm_${id}/build.json`));
    await expectBuiltAgain({ 'site-2': /has no build record of it$/ });
  });

  it('does not take one site’s archive for another’s', async () => {
    const path = (name: string) => project.bench.path(`target/${name}.tgz`);
    await rename(path('site-1'), path('kept'));
    await rename(path('site-2'), path('site-1'));
    await rename(path('kept'), path('site-2'));
    await expectBuiltAgain({ 'site-1': /bundle of another site/, 'site-2': /bundle of another site/ });
  });

  it('builds the site whose image lost its right to the key, or whose key has gone', async () => {
    const { bench } = project;
    const retired = built.get('site-1')!.id;
    const directory = bench.path('state/cvm-builder/development');
    expect((await bench.run(['policy', 'retire', retired, '--directory', directory])).status).toBe(0);
    await rm(project.key(built.get('site-3')!.id));
    await expectBuiltAgain({
      'site-1': /has no right to its key any more$/,
      'site-3': /the key of image [0-9a-f]{12} has gone$/,
    });
  });

  it('builds all of them anew with --anew, and retires what they were', async () => {
    const outcome = await project.build(['--anew']);
    expect(states(outcome)).toEqual(['built', 'built', 'built']);
    const now = rowsOf(outcome);
    const active = (await images()).filter(({ status }) => status === 'active').map(({ id }) => id);
    expect(active.sort()).toEqual([...now.values()].map(({ id }) => id).sort());
    built = now;
  });
});

describe('a site that fails', () => {
  it('keeps no other from its bundle; the table and one error say why; the next run builds it alone', async () => {
    await project.clear();
    await project.bench.copyOf('image.tar.gz', 'cut.tar.gz');
    await truncate(project.bench.path('cut.tar.gz'), 100_000);
    await project.configure('site-2', { archive: 'cut.tar.gz' });
    const outcome = await project.build();
    expect(outcome.status).toBe(1);
    const rows = rowsOf(outcome);
    expect([...rows.values()].map(({ state }) => state)).toEqual(['built', 'failed', 'built']);
    expect(rows.get('site-2')!.bundle).toContain('cut.tar.gz');
    expect(outcome.stdout.trimEnd().split('\n').at(-1)).toBe(
      '2 of 3 sites are complete, 2 built now, 1 failed',
    );
    expect(outcome.stderr.match(/^error: /gm)).toHaveLength(1);
    expect(outcome.stderr).toMatch(/^site-2:\nerror: .*cut\.tar\.gz/m);
    expect((await project.bench.list('target')).filter((name) => name.endsWith('.tgz'))).toEqual([
      'site-1.tgz',
      'site-3.tgz',
    ]);
    expect(await project.bench.list('handoff')).toHaveLength(2);
    await project.configure('site-2');
    built = rows;
    await expectBuiltAgain({ 'site-2': /: it has no bundle$/ });
  });
});
