import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { layerOf } from '../../workload/images.ts';
import { ext4Of } from './disks.ts';
import { asRoot, importInto, listing, makeSystem, release, workFolder } from './system.ts';

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
const capability = Buffer.from('0100000202000000000000000000000000000000'.slice(0, 40), 'hex');
let tree: string;
let tar: string;

/** Owners and device nodes are fakeroot's, so that both are made in one go. */
const odd = `
  mkdir -p "$1/opt/odd"; cd "$1/opt/odd"
  echo one > first; ln first second
  truncate -s 64M holes; printf x | dd of=holes bs=1 seek=40000000 conv=notrunc status=none
  mknod null c 1 3; mknod disk b 259 70000; mkfifo fifo
  ln -s /../../../etc/shadow absolute; ln -s "$(printf 'a%.0s' $(seq 200))" long
  touch -- "a
new line" "-rf" "ünï" "back\\\\slash" "$(printf 'b%.0s' $(seq 250))"
  chmod 4755 first; chmod 1777 .; touch -d 2001-02-03T04:05:06Z first; touch -d 2060-01-01T00:00:00Z late`;
const owners = 'chown -R 0:0 "$1"; chown 1000:70000 "$1/opt/odd/first"';

beforeAll(async () => {
  tree = await makeSystem(at('tree'));
  tar = at('base.tar');
  asRoot(`${odd}; ${owners}; tar --numeric-owner -C "$1" -cf "$2" .`, tree, tar);
});

/** What GNU tar says of the odd files, of any tree. */
const oddLines = (image: string) =>
  [...listing(image)]
    .filter(([name]) => name.startsWith('opt/odd'))
    .map(([, line]) => line)
    .sort();

describe('archives', () => {
  it('give the same base from tar, tar.gz, tar.xz and tar.zst, whatever their names say', async () => {
    const { base, notes } = await importInto(folder.path, { file: tar });
    expect(notes).toEqual([`its kernel is ${release}`]);
    for (const [tool, name] of [
      ['gzip -1', 'a.tar.xz'],
      ['xz -0', 'b'],
      ['zstd -1', 'c.qcow2'],
    ] as const) {
      execFileSync('sh', ['-c', `${tool} < "$1" > "$2"`, 'sh', tar, at(name)]);
      expect((await importInto(folder.path, { file: at(name) })).base.id, name).toBe(base.id);
    }
  });

  it('keep names, owners, modes, times, links, device nodes and holes', async () => {
    const { base } = await importInto(folder.path, { file: tar });
    const files = listing(base.squashfs);
    expect(files.get('opt/odd')).toMatch(/^drwxrwxrwt /);
    const [first, second] = ['first', 'second'].map((name) => files.get(`opt/odd/${name}`)!);
    expect([first, second].some((line) => line!.includes('link to opt/odd/'))).toBe(true);
    expect(first!.startsWith('h') ? second : first).toMatch(/^-rwsr-xr-x 1000\/70000 +4 2001-02-03 04:05 /);
    expect(files.get('opt/odd/null')).toMatch(/^crw-r--r-- 0\/0 +1,3 /);
    expect(files.get('opt/odd/disk')).toMatch(/^brw-r--r-- 0\/0 +259,70000 /);
    expect(files.get('opt/odd/fifo')).toMatch(/^prw-r--r-- /);
    expect(files.get('opt/odd/late')).toContain('2060-01-01 00:00');
    expect(files.get('opt/odd/absolute')).toContain('-> /../../../etc/shadow');
    expect(files.get('opt/odd/long')).toMatch(/-> a{200}$/);
    for (const name of ['a\\nnew line', '-rf', '\\303\\274n\\303\\257', 'back\\\\slash', 'b'.repeat(250)])
      expect(files.has(`opt/odd/${name}`), name).toBe(true);
    expect(files.get('opt/odd/holes')).toMatch(/ 67108864 /);
    const holes = execFileSync(
      'sh',
      ['-c', 'rdsquashfs --cat opt/odd/holes "$1" | tr -d "\\0" | wc -c', 'sh', base.squashfs],
      { encoding: 'utf8' },
    );
    expect(holes.trim()).toBe('1');
  });

  it('say the same as the same tree on ext4 and in a squashfs', async () => {
    const fromTar = oddLines((await importInto(folder.path, { file: tar })).base.squashfs);
    asRoot(
      `truncate -s 160M "$2"; ${owners}; cd "$1/opt/odd"; rm -f null disk fifo; mknod null c 1 3; mknod disk b 259 70000; mkfifo fifo; chmod 4755 first; touch -d 2001-02-03T04:05:06Z first; mke2fs -q -F -t ext4 -d "$1" "$2"`,
      tree,
      at('odd.ext4'),
    );
    const untimed = (lines: string[]) =>
      lines.map((line) =>
        line
          .replace(/ \d{4}-\d\d-\d\d \d\d:\d\d /, ' ')
          .replace(/ link to .*/, ' link')
          .replace(/^h\S+ \S+ +\d+/, 'h'),
      );
    const names = (lines: string[]) =>
      untimed(lines)
        .map((line) => line.replace(/^(?:h|-rwsr-xr-x 1000\/70000 +4) (opt\/odd\/(?:first|second)).*/, '$1'))
        .sort();
    const disk = await importInto(folder.path, { file: at('odd.ext4') });
    expect(names(oddLines(disk.base.squashfs))).toEqual(names(fromTar));
    const squashfs = at('odd.img');
    execFileSync('sh', ['-c', 'tar2sqfs -q -f "$2" < "$1"', 'sh', tar, squashfs]);
    expect(names(oddLines((await importInto(folder.path, { file: squashfs })).base.squashfs))).toEqual(
      names(fromTar),
    );
  });

  it('keep file capabilities and other attributes, and lose an ACL aloud, without giving the group more', async () => {
    const disk = at('attributes.ext4');
    await cp(await ext4Of(tree, at('plain.ext4'), 160), disk);
    await writeFile(at('capability'), capability);
    // user::rw-, user:1:rwx, group::r--, mask::rwx, other::---, as the kernel hands it over.
    const acl = Buffer.from(
      '02000000' +
        '01000600ffffffff' +
        '0200070001000000' +
        '04000400ffffffff' +
        '10000700ffffffff' +
        '20000000ffffffff',
      'hex',
    );
    await writeFile(at('acl'), acl);
    const long = 'v'.repeat(900);
    asRoot(
      `for command in "ea_set -f $2 /usr/bin/hello security.capability" "ea_set /usr/bin/hello user.note $4" \\
        "ea_set -f $3 /etc/passwd system.posix_acl_access" "set_inode_field /etc/passwd mode 0100670"; do
        debugfs -w -R "$command" "$1" 2>/dev/null; done`,
      ...[disk, at('capability'), at('acl'), long],
    );
    const { base, warnings } = await importInto(folder.path, { file: disk });
    expect(warnings).toEqual(['squashfs cannot hold system.posix_acl_access: it is lost on etc/passwd']);
    expect(listing(base.squashfs).get('etc/passwd')).toMatch(/^-rw-r----- /);
    const raw = execFileSync('sqfs2tar', [base.squashfs], { maxBuffer: 1 << 30 });
    expect(raw.includes(Buffer.concat([Buffer.from('SCHILY.xattr.security.capability='), capability]))).toBe(
      true,
    );
    expect(raw.includes(`SCHILY.xattr.user.note=${long}`)).toBe(true);
  });

  it('are hashed and nothing else at the second import: no tool is started', async () => {
    await importInto(folder.path, { file: tar });
    const { PATH } = process.env;
    const nothing = at('no-tools');
    await mkdir(nothing, { recursive: true });
    const seen: unknown[] = [];
    const before = process.resourceUsage().fsWrite;
    try {
      process.env.PATH = nothing;
      const again = await importInto(folder.path, { file: tar, progress: (progress) => seen.push(progress) });
      expect(again).toMatchObject({ fromCache: true, notes: [], warnings: [] });
    } finally {
      process.env.PATH = PATH;
    }
    const { size } = await (await import('node:fs/promises')).stat(tar);
    expect(seen.at(-1)).toEqual({ done: size, total: size, unit: 'bytes' });
    expect(new Set(seen.map((each) => (each as { total: number }).total))).toEqual(new Set([size]));
    expect(process.resourceUsage().fsWrite - before).toBeLessThan(100);
  });
});

describe('a hostile archive', () => {
  const refusal = async (...items: Parameters<typeof layerOf>) => {
    const file = at('hostile.tar');
    await writeFile(file, layerOf(...items));
    return importInto(folder.path, { file }).then(
      () => undefined,
      (error: unknown) => error,
    );
  };

  it.each([
    ['has “..” in its name', [['../../etc/cron.d/evil', {}]]],
    ['has “..” in its name', [['a/../../b', {}]]],
    [
      'lies below what is no folder',
      [
        ['a', { type: 'symlink', linkName: '/etc' }],
        ['a/passwd', { body: 'x' }],
      ],
    ],
    ['is a hard link to nothing that came before', [['a', { type: 'hard link', linkName: '/etc/passwd' }]]],
    [
      'is a hard link to nothing that came before',
      [
        ['a', { type: 'hard link', linkName: 'b' }],
        ['b', {}],
      ],
    ],
    ['has “..” in its name', [['a', { type: 'hard link', linkName: '../b' }]]],
    ['takes the place of the root', [['./', { type: 'symlink', linkName: '/' }]]],
    ['has a longer name or target', [[`a${'/a'.repeat(2048)}`, {}]]],
    ['has a longer name or target', [[`a/${'b'.repeat(256)}/c`, {}]]],
    ['has a longer name or target', [['a', { type: 'symlink', linkName: '/'.repeat(4097) }]]],
    ['lies in one folder too many', Array.from({ length: 600 }, (_, i) => [`${i}${'/a'.repeat(2000)}`, {}])],
  ] as [string, Parameters<typeof layerOf>][])('is refused where an entry %s', async (words, items) => {
    expect(await refusal(...items)).toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(words),
    });
  });

  it('does not lead the import out of itself by links in the places it reads', async () => {
    const directory = { type: 'directory', mode: 0o755 } as const;
    const links = (await refusal(
      ['usr', directory],
      ['usr/lib', directory],
      ['usr/lib/modules', { type: 'symlink', linkName: '/lib/modules' }],
      ['lib', { type: 'symlink', linkName: '/' }],
      ['boot', { type: 'symlink', linkName: '/boot' }],
    )) as Error;
    expect(links.message).toContain('it holds no kernel');
    // A release that would climb, and a module of the index outside of its folder.
    const climbing = (await refusal(
      [
        'usr/lib/modules/1.0/modules.dep',
        { body: '../../../../../etc/passwd.ko:\nkernel/virtio_pci.ko: ../../../x.ko\n' },
      ],
      ['usr/lib/modules/1.0/kernel/virtio_pci.ko', { body: 'x' }],
      ['boot/vmlinuz-1.0', { body: 'kernel' }],
    )) as Error;
    expect(climbing.message).toMatch(/its kernel 1\.0 (?:lacks the file of|has no) module/);
  });

  it('cannot write through /boot or the indexes of modules where these are links', async () => {
    const file = at('linked.tar');
    const linked = at('linked');
    await cp(tree, linked, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.includes('/opt/odd'),
    });
    execFileSync('sh', [
      '-c',
      'cd "$1" && mv boot realboot && ln -s realboot boot && ln -sf /etc/passwd usr/lib/modules/$2/modules.symbols && tar -cf "$3" .',
      'sh',
      linked,
      release,
      file,
    ]);
    const { base } = await importInto(folder.path, { file });
    const files = listing(base.squashfs);
    expect(files.get('boot')).toMatch(/^drwxr-xr-x 0\/0/);
    expect(files.get('boot/vmlinuz')).toMatch(/^-rw-r--r-- 0\/0/);
    expect(files.get(`usr/lib/modules/${release}/modules.symbols`)).toMatch(/^-/);
    expect(
      (await readFile(base.kernel)).equals(await readFile(join(linked, `realboot/vmlinuz-${release}`))),
    ).toBe(true);
  });

  it('is refused where it is damaged or ends early', async () => {
    const file = at('cut.tar.gz');
    execFileSync('sh', ['-c', 'gzip -1 < "$1" | head -c 3000000 > "$2"', 'sh', tar, file]);
    await expect(importInto(folder.path, { file })).rejects.toMatchObject({
      name: 'UserError',
      message: `cannot import ${file}: its gzip data is damaged or ends early`,
    });
  });
});
