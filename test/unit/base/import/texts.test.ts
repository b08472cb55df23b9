import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupOfAcl } from '../../../../src/base/import/attributes.ts';
import { fateOf } from '../../../../src/base/import/clean.ts';
import { guidText } from '../../../../src/base/import/disk/gpt.ts';
import { fstabNames, parseFstab } from '../../../../src/base/import/fstab.ts';
import { parseLvmText } from '../../../../src/base/import/lvm/text.ts';
import { packageList } from '../../../../src/base/import/packages.ts';
import { compareVersions } from '../../../../src/base/import/versions.ts';
import { crc32c, lvmCrc } from '../../../../src/host/crc.ts';
import { KernelModules } from '../../../../src/host/kernel-modules.ts';
import { resolveInside } from '../../../../src/host/resolve-inside.ts';
import { MalformedError } from '../../../../src/host/tar/bytes.ts';

describe('versions', () => {
  it.each([
    ['6.8.0-9-generic', '6.8.0-45-generic'],
    ['6.8.0-45-generic', '6.11.0-1-generic'],
    ['6.1.0-rc1', '6.1.1'],
    ['1.0~rc1', '1.0'],
    ['1.0', '1.0+b1'],
    ['1.0a', '1.0+'],
    ['1.009', '1.10'],
  ])('%s is older than %s', (older, newer) => {
    expect(compareVersions(older, newer)).toBeLessThan(0);
    expect(compareVersions(newer, older)).toBeGreaterThan(0);
    expect(compareVersions(newer, newer)).toBe(0);
  });
});

describe('/etc/fstab', () => {
  it('is read with its escapes, comments and odd lines', () => {
    const text =
      '# a comment\nLABEL=my\\040root / ext4 defaults\nbroken\n/swap.img none swap sw 0 0\nUUID=AB /b//c/ ext4 x # y\n';
    expect(parseFstab(text).map(({ names, path }) => [names, path])).toEqual([
      [['label=my root'], ''],
      [[], undefined],
      [['uuid=ab'], 'b/c'],
    ]);
  });

  it.each([
    ['UUID="0A-b"', ['uuid=0a-b']],
    ['/dev/disk/by-label/a\\x20b', ['label=a b']],
    ['/dev/mapper/ubuntu--vg-ubuntu--lv', ['mapper=ubuntu--vg-ubuntu--lv']],
    ['/dev/ubuntu-vg/ubuntu-lv', ['lv=ubuntu-vg/ubuntu-lv']],
    [`/dev/disk/by-id/dm-uuid-LVM-${'a'.repeat(64)}`, [`lvid=${'a'.repeat(64)}`]],
    ['/dev/nvme0n1p3', ['number=3']],
    ['/dev/sdb12', ['number=12']],
    ['PARTUUID=0DF0-01', ['partuuid=0df0-01']],
    ['nfs.example.org:/x', []],
  ])('%s names a volume', (source, names) => expect(fstabNames(source)).toEqual(names));
});

describe("LVM's text", () => {
  it('is read with sections, lists, numbers, strings and comments', () => {
    const section = parseLvmText(
      '# c\nvg { # d\n id = "a\\"b" n = -3\n list = ["x", 2]\n empty = []\n in { } }\nversion = 1',
    );
    expect(section.get('version')).toBe(1);
    expect([...(section.get('vg') as ReadonlyMap<string, unknown>)]).toEqual([
      ['id', 'a"b'],
      ['n', -3],
      ['list', ['x', 2]],
      ['empty', []],
      ['in', new Map()],
    ]);
  });

  it('ends in an error of its own, whatever it is', () => {
    const pieces = fc.array(
      fc.constantFrom('{', '}', '[', ']', '=', ',', '"', '\\', '#', '\n', 'a', '1', ' ', '__proto__'),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(pieces, (words) => {
        try {
          parseLvmText(words.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError);
        }
      }),
      { numRuns: 5000 },
    );
    expect(() => parseLvmText('a {'.repeat(100))).toThrow(MalformedError);
  });
});

describe('a path inside of a tree', () => {
  const links: Record<string, string> = {
    lib: 'usr/lib',
    'usr/lib/up': '../../..',
    abs: '/usr',
    a: 'b',
    b: 'a',
  };
  const resolve = (path: string) => resolveInside(path, (at) => links[at]);

  it('follows links, never above the root', async () => {
    expect(await resolve('/lib/x')).toBe('usr/lib/x');
    expect(await resolve('usr/lib/up/etc')).toBe('etc');
    expect(await resolve('../../abs/./y')).toBe('usr/y');
    expect(await resolve('a/x')).toBeUndefined();
  });

  it('holds no link and no dots, whatever the links are', () => {
    const part = fc.constantFrom('a', 'b', 'c', '..', '.', '');
    const path = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));
    return fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom('a', 'b', 'a/b', 'b/c', 'c'), path),
        path,
        async (map, start) => {
          const found = await resolveInside(start, (at) => (Object.hasOwn(map, at) ? map[at] : undefined));
          expect(
            found === undefined ||
              found === '' ||
              found.split('/').every((name) => ['a', 'b', 'c'].includes(name)),
          ).toBe(true);
        },
      ),
    );
  });
});

describe('kernel modules', () => {
  const modules = new KernelModules({
    dep: 'kernel/a.ko.zst: kernel/b-x.ko.zst\nkernel/b-x.ko.zst:\nkernel/soft.ko:\nkernel/c.ko: \n',
    builtin: 'kernel/built-in.ko\n',
    softdep: 'softdep a pre: soft post: missing\nsoftdep soft pre: a\n',
    alias: 'alias pci:v* c\nalias crypto-x c\n',
  });

  it('come with what they need, softly or not, by any spelling and by alias', () => {
    expect(modules.withNeeds('a')?.sort()).toEqual([
      'kernel/a.ko.zst',
      'kernel/b-x.ko.zst',
      'kernel/soft.ko',
    ]);
    expect(modules.withNeeds('b_x')).toEqual(['kernel/b-x.ko.zst']);
    expect(modules.withNeeds('built_in')).toEqual([]);
    expect(modules.withNeeds('crypto_x')).toEqual(['kernel/c.ko']);
    expect(modules.withNeeds('d')).toBeUndefined();
  });
});

describe('small things of the formats', () => {
  it('have the values that others compute', () => {
    // RFC 3720, appendix B.4: CRC-32C of 32 zeros is 0x8a9136aa, inverted at the end.
    expect((crc32c(0xffff_ffff, Buffer.alloc(32)) ^ 0xffff_ffff) >>> 0).toBe(0x8a91_36aa);
    expect(lvmCrc(Buffer.alloc(0))).toBe(0xf597_a6cf);
    const esp = Buffer.from('28732ac11ff8d211ba4b00a0c93ec93b', 'hex');
    expect(guidText(esp)).toBe('c12a7328-f81f-11d2-ba4b-00a0c93ec93b');
  });

  it('an ACL never gives the group more than its own entry, within the mask', () => {
    expect(groupOfAcl(Buffer.from('user::rw-,user:1:rwx,group::r--,mask::rwx,other::---'))).toBe(4);
    expect(groupOfAcl(Buffer.from('user::rwx\ngroup::rwx\nmask::r-x\nother::---'))).toBe(5);
    expect(groupOfAcl(Buffer.from('nonsense'))).toBe(0);
    expect(groupOfAcl(Buffer.alloc(0))).toBe(0);
  });

  it('a package list holds what is installed, and nothing from descriptions', () => {
    const status =
      'Package: b\nStatus: install ok installed\nVersion: 2\nDescription: x\n Package: c\n\nPackage: a\nStatus: deinstall ok config-files\nVersion: 1\n';
    expect(packageList(status)).toBe('b\t2\n');
  });

  it.each([
    ['etc/machine-id', 'empty'],
    ['etc/ssh/ssh_host_rsa_key.pub', 'drop'],
    ['etc/ssh/sshd_config', 'keep'],
    ['tmp', 'keep'],
    ['tmp/x', 'drop'],
    ['var/log/journal', 'drop'],
    ['opt/var/log/x', 'keep'],
    ['usr/lib/modules', 'keep'],
    ['runner', 'keep'],
  ])('%s: %s', (path, fate) => expect(fateOf(path, false)).toBe(fate));
});
