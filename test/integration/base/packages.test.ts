import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PrivateApt } from '../../../src/base/apt.ts';
import { fetchPackages, newestBuild, resolvePackages } from '../../../src/base/recipe/packages.ts';
import { sha256File } from '../../../src/host/files.ts';

const built = 1_700_000_000;
let folder: string;
let count = 0;

/** An archive of three packages: an essential one, one that needs another, and one that nobody asks for. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'packages-test-'));
  await mkdir(join(folder, 'archive'));
  const entries = [
    await pack('shell', 'Essential: yes\n', built - 100),
    await pack('tool', 'Depends: helper\nRecommends: other\n', built),
    await pack('helper', '', built - 50),
    await pack('other', '', built + 1000),
    await pack('shell', 'Essential: yes\n', built + 1000, 'i386'),
  ];
  await writeFile(join(folder, 'archive/Packages'), entries.join('\n'));
  await writeFile(join(folder, 'archive/Release'), 'Suite: trial\nCodename: trial\n');
  await writeFile(join(folder, 'sources.list'), `deb [trusted=yes] copy:${folder}/archive ./\n`);
});
afterAll(() => rm(folder, { recursive: true }));

/** Makes a .deb and returns its paragraph of a package list. */
async function pack(name: string, fields: string, time: number, architecture = 'all'): Promise<string> {
  const tree = join(folder, `${name}_${architecture}`);
  await mkdir(join(tree, 'DEBIAN'), { recursive: true });
  const control = `Package: ${name}\nVersion: 1\nArchitecture: ${architecture}\nMaintainer: nobody <nobody@example.org>\nDescription: trial\n${fields}`;
  await writeFile(join(tree, 'DEBIAN/control'), control);
  const file = `${name}_1_${architecture}.deb`;
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(time) };
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', tree, join(folder, 'archive', file)], { env });
  const { hex, size } = await sha256File(join(folder, 'archive', file));
  return `${control}Filename: ./${file}\nSize: ${size}\nSHA256: ${hex}\n`;
}

async function freshApt(): Promise<PrivateApt> {
  count += 1;
  const apt = await PrivateApt.open(join(folder, `apt${count}`), join(folder, 'sources.list'));
  await apt.get(['update']);
  return apt;
}

const names = async (path: string) => (await readdir(path)).filter((name) => name.endsWith('.deb')).sort();

describe('packages of a base', () => {
  it('are the essential ones, those named and what these depend on, not what they recommend', async () => {
    const files = await resolvePackages(await freshApt(), 'trial', ['tool']);
    expect(files.map(({ name }) => name).sort()).toEqual([
      'helper_1_all.deb',
      'shell_1_all.deb',
      'tool_1_all.deb',
    ]);
  });

  it('are fetched, and their newest build is not that of the day', async () => {
    const apt = await freshApt();
    const files = await resolvePackages(apt, 'trial', ['tool']);
    expect(await fetchPackages(apt, 'trial', ['tool'], files)).toHaveLength(3);
    expect(await names(apt.archives)).toEqual(files.map(({ name }) => name).sort());
    expect(await newestBuild(apt.archives, files)).toBe(built);
  });

  it('come from those of the last build, and only what is new or changed is fetched', async () => {
    const first = await freshApt();
    const files = await resolvePackages(first, 'trial', ['tool']);
    await fetchPackages(first, 'trial', ['tool'], files);
    const known = first.archives;
    expect(await fetchPackages(await freshApt(), 'trial', ['tool'], files, { known })).toEqual([]);

    // One is gone, another was changed without changing its size or time.
    await rm(join(known, 'helper_1_all.deb'));
    const changed = join(known, 'tool_1_all.deb');
    const { atime, mtime } = await stat(changed);
    const bytes = await readFile(changed);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(changed, bytes);
    await utimes(changed, atime, mtime);
    const apt = await freshApt();
    const fetched = await fetchPackages(apt, 'trial', ['tool'], files, { known });
    expect(fetched.map(({ name }) => name).sort()).toEqual(['helper_1_all.deb', 'tool_1_all.deb']);
    for (const { name, sha256 } of files)
      expect((await sha256File(join(apt.archives, name))).hex).toBe(sha256);
  });

  it('are refused where one is not there', async () => {
    await expect(resolvePackages(await freshApt(), 'trial', ['absent'])).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining('absent'),
    });
  });

  it('are refused where the archive gives out another file than its list names', async () => {
    const apt = await freshApt();
    const files = await resolvePackages(apt, 'trial', ['helper']);
    const file = join(folder, 'archive/helper_1_all.deb');
    const good = await readFile(file);
    await writeFile(file, Buffer.alloc(good.length, 'x'));
    await expect(fetchPackages(apt, 'trial', ['helper'], files)).rejects.toMatchObject({ name: 'UserError' });
    await writeFile(file, good);
  });
});
