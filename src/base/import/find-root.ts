import { UserError } from '../../host/errors.ts';
import type { Ext4 } from '../../host/ext4/filesystem.ts';
import { plainText } from '../../host/template.ts';
import { Ext4Tree } from './ext4/tree.ts';
import { parseFstab } from './fstab.ts';
import { readTreeFile, type Tree } from './tree.ts';
import type { DiskVolumes, Volume } from './volumes.ts';

/** The volumes that make up an installed system. */
export interface InstalledSystem {
  root: Volume & { ext4: Ext4 };
  /** What /etc/fstab lays over folders of the root, by path without leading slash. */
  mounts: ReadonlyMap<string, Volume & { ext4: Ext4 }>;
}

const largestFstab = 1 << 20;
/** Why a content cannot hold the root, and what to do. */
const unreadable: Partial<Record<Volume['content'], string>> = {
  LUKS: 'install the base without disk encryption: the finished CVM encrypts its own drive',
  BitLocker: 'install the base without disk encryption: the finished CVM encrypts its own drive',
  RAID: 'install the base on a plain partition or a linear logical volume',
};

/**
 * Finds the root by what lies in it, and what its /etc/fstab mounts.
 * @throws UserError where there is no root that can be read
 */
export async function findRoot(
  { volumes, refused }: DiskVolumes,
  image: string,
  warn: (text: string) => void,
): Promise<InstalledSystem> {
  const cannot = (why: string, hint: string) =>
    new UserError(`cannot import ${image}: ${plainText(why)}`, { hint: plainText(hint) });
  const readable = volumes.filter((volume): volume is Volume & { ext4: Ext4 } => volume.ext4 !== undefined);
  const roots: typeof readable = [];
  for (const volume of readable) if (await isRoot(new Ext4Tree(volume.ext4))) roots.push(volume);
  const [root, second] = roots;
  if (root === undefined) {
    if (refused[0] !== undefined)
      throw cannot(
        refused[0],
        'only linear logical volumes can be imported: install the base on one, or on a partition',
      );
    const other = volumes.find(
      ({ content }) => !['ext4', 'FAT', 'swap', 'squashfs', 'nothing known'].includes(content),
    );
    if (other !== undefined) {
      const verb = other.content === 'LUKS' || other.content === 'BitLocker' ? 'is encrypted' : 'holds';
      throw cannot(
        `${other.title} ${verb} ${verb === 'holds' ? other.content : `(${other.content})`}, and no other volume has an operating system`,
        unreadable[other.content] ??
          'install the base with an ext4 root, or pack its root file system as a tar archive',
      );
    }
    throw cannot(
      'no volume on it holds an operating system',
      'expected: a disk with an installed Ubuntu or Debian, its root on ext4',
    );
  }
  if (second !== undefined) {
    throw cannot(
      `${root.title} and ${second.title} both hold an operating system`,
      'remove one of them, or pack the root file system that is meant as a tar archive',
    );
  }

  const fstab = (await readTreeFile(new Ext4Tree(root.ext4), 'etc/fstab', largestFstab)) ?? Buffer.alloc(0);
  const mounts = new Map<string, Volume & { ext4: Ext4 }>();
  for (const { source, names, path, type } of parseFstab(fstab.toString('latin1'))) {
    if (path === undefined || path === '' || path.split('/').includes('..')) continue;
    const volume = volumes.find((each) => names.some((name) => each.names.has(name)));
    if (volume === root) continue;
    if (volume?.ext4 !== undefined) mounts.set(path, volume as Volume & { ext4: Ext4 });
    else if (['boot', 'usr', 'var', 'opt', 'etc'].includes(path)) {
      throw cannot(
        `its /${path} is ${source} (${volume?.content ?? type}), which cannot be read`,
        `install the base with an ext4 /${path}, or without a separate one`,
      );
    } else if (path !== 'boot/efi' && !['tmpfs', 'proc', 'sysfs', 'devpts'].includes(type)) {
      warn(plainText(`/${path} is left out: ${source} cannot be read from this image`));
    }
  }
  return { root, mounts };
}

/** An operating system says what it is; os-release may lead to a separate /usr, so its name is enough. */
async function isRoot(tree: Tree): Promise<boolean> {
  return (
    (await tree.nodeAt('etc/os-release')) !== undefined || (await tree.nodeAt('etc/fstab')) !== undefined
  );
}
