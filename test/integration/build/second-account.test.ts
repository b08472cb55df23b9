import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleFiles } from '../../../src/bundle/index.ts';
import { openCache } from '../../../src/graph/cache.ts';
import { BuildBench, ended, nobody } from './bench.ts';

const root = process.getuid?.() === 0;

let bench: BuildBench;
beforeAll(async () => {
  bench = await BuildBench.make();
  await chmod(bench.folder, 0o755);
});
afterAll(() => bench?.[Symbol.asyncDispose]());
beforeEach(async () => {
  await bench.clear();
  await rm(bench.path('state'), { recursive: true, force: true });
});

/**
 * Another account that tries, for as long as it runs, to write to whatever is in any bundle folder or hand-off below the given one,
 * and to make files there. It prints each path that let it.
 */
const racer = `
import glob, os, sys
print("racing", flush=True)
while True:
    folders = glob.glob(sys.argv[1] + "/*/cvm_*") + glob.glob(sys.argv[1] + "/*/.cvm_*")
    for folder in folders:
        for path in [folder] + [os.path.join(folder, name) for name in ${JSON.stringify([...bundleFiles, 'disk.key', 'record.json'])}]:
            try:
                if os.path.isdir(path):
                    path += "/planted"
                    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
                else:
                    os.close(os.open(path, os.O_WRONLY))
                print(path, flush=True)
            except OSError:
                pass
`;

describe.runIf(root)('a second account', () => {
  it('that races every file of the bundle folder changes nothing', async () => {
    const account = { uid: nobody.uid, gid: nobody.gid };
    const other = spawn('/usr/bin/python3', ['-c', racer, bench.folder], { ...account, cwd: '/' });
    let said = '';
    other.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const gone = once(other, 'close');
    await once(other.stdout, 'data');
    // The most that a careless administrator leaves open.
    const before = process.umask(0);
    const building = bench.start(bench.buildArguments());
    process.umask(before);
    const outcome = await ended(building);
    other.kill();
    await gone;
    expect(outcome.stderr).not.toContain('error: ');
    expect(outcome.status).toBe(0);
    expect(said).toBe('racing\n');

    const bundle = await bench.bundle();
    expect((await readdir(bundle)).sort()).toEqual([...bundleFiles]);
    expect((await stat(bundle)).mode & 0o777).toBe(0o755);
    for (const name of bundleFiles) {
      const { mode, uid } = await stat(join(bundle, name));
      expect([name, mode & 0o777, uid]).toEqual([name, name === 'launch_vm.sh' ? 0o755 : 0o644, 0]);
    }
    const verified = await bench.run(['verify', '--config', bench.path('builder.yml'), bundle]);
    expect(verified.stderr + verified.stdout).toContain('The bundle is whole');
  });

  it.each([
    ['target', 'a link'],
    ['handoff', 'a link'],
    ['handoff', 'a folder'],
  ])('who put its own %s there, as %s, gets neither a bundle nor a key', async (name, kind) => {
    const theirs = bench.path('theirs');
    await rm(theirs, { recursive: true, force: true });
    await mkdir(theirs);
    await chown(theirs, nobody.uid, nobody.gid);
    if (kind === 'a link') await symlink(theirs, bench.path(name));
    else await rename(theirs, bench.path(name));
    const outcome = await bench.build();
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toMatch(
      new RegExp(
        `^error: cannot build into ${bench.path(name)}: \\S+ belongs to another account \\(uid 65534\\)$`,
        'm',
      ),
    );
    expect(outcome.stderr).toMatch(/^hint: .*--output/m);
    expect(await readdir(kind === 'a link' ? theirs : bench.path(name))).toEqual([]);
  });

  it('whose file lies in the cache, with the rest of the entry as it was made, is not believed', async () => {
    const cache = openCache(bench.path('own-cache'));
    const make = async (folder: string) => writeFile(join(folder, 'data'), 'made by the builder');
    const entry = await cache.entry('base', 'k', make);
    expect(await cache.lookup('base', 'k')).toBe(entry);
    await chown(join(entry, 'data'), nobody.uid, nobody.gid);
    expect(await cache.lookup('base', 'k')).toBeUndefined();
    // Made again, in its place.
    expect(await cache.entry('base', 'k', make)).toBe(entry);
    expect((await stat(join(entry, 'data'))).uid).toBe(0);
    expect(await readdir(dirname(entry))).toEqual(['k']);
  });
});

describe('a file of the cache that was changed after it was made', () => {
  it.each([
    ['the kernel', 'base', 'vmlinuz'],
    ['the base', 'base', 'base.squashfs'],
    ['a part of the initrd', 'initrd', 'part.cpio.zst'],
    ['a layer', 'layer', 'layer.squashfs'],
  ])('stops the build by its name: %s', async (_, kind, name) => {
    // Layers are converted by the first build.
    if (kind === 'layer' && (await bench.list('cache/cvm-builder/layer')).length === 0)
      expect((await bench.build()).status).toBe(0);
    const folder = bench.path(`cache/cvm-builder/${kind}`);
    // All of the kind: the cache may hold entries of other builds.
    const files = (await readdir(folder)).map((key) => join(folder, key, name));
    for (const file of files) {
      // A file of its own: the entry's may be a hard link to that of another cache.
      const script = 'cp -p "$1" "$1.new" && mv "$1" "$1.kept" && printf x >> "$1.new" && mv "$1.new" "$1"';
      execFileSync('sh', ['-c', script, 'sh', file]);
    }
    await bench.clear();
    const outcome = await bench.build();
    for (const file of files) execFileSync('mv', [`${file}.kept`, file]);
    expect(outcome.status).toBe(1);
    const changed = /^error: cannot use (\S+): its SHA-256 is [0-9a-f]{64}, and it was /m.exec(
      outcome.stderr,
    );
    expect(files).toContain(changed?.[1]);
    expect(outcome.stdout).not.toContain('is ready');
    expect(await bench.list('target')).toEqual([]);
  });
});
