import { type Blocks, partOf } from '../../host/disk/blocks.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { type Content, contentOf, fatNames } from './disk/filesystem.ts';
import { readPartitions } from './disk/partitions.ts';
import { type PhysicalVolume, readPhysicalVolume } from './lvm/physical-volume.ts';
import { logicalVolumes, mapperName } from './lvm/volumes.ts';

/** A partition, a logical volume, or a disk without a partition table: something that can hold a file system. */
export interface Volume {
  /** For people: `partition 3`, `logical volume ubuntu-vg/ubuntu-lv`. */
  title: string;
  content: Content;
  blocks: Blocks;
  /** Opened where its content is ext4. */
  ext4?: Ext4;
  /** What /etc/fstab may call it, spelled as {@link fstabNames} does. */
  names: ReadonlySet<string>;
}

/** The volumes of a disk, and what stands in the way of reading others. */
export interface DiskVolumes {
  volumes: Volume[];
  /** One reason for each volume that cannot be read, e.g. `logical volume vg/root is of LVM type "raid1"`. */
  refused: string[];
}

/**
 * Everything on a disk that could be mounted.
 * @throws MalformedError where partition table, LVM metadata or an ext4 superblock is damaged
 */
export async function readVolumes(disk: Blocks, warn: (text: string) => void): Promise<DiskVolumes> {
  const partitions = await readPartitions(disk, warn);
  const volumes: Volume[] = [];
  const refused: string[] = [];
  const physical: PhysicalVolume[] = [];
  const add = async (title: string, blocks: Blocks, names: string[]) => {
    const content = await contentOf(blocks);
    if (content === 'LVM2') physical.push(await readPhysicalVolume(blocks));
    else volumes.push(await describe(title, blocks, content, names));
  };
  if (partitions === undefined) await add('the disk', disk, []);
  for (const { number, offset, length, uuid, label } of partitions ?? []) {
    const names = [`partuuid=${uuid}`, ...(label === '' ? [] : [`partlabel=${label}`]), `number=${number}`];
    await add(`partition ${number}`, partOf(disk, offset, length), names);
  }
  for (const { group, name, id, blocks } of logicalVolumes(physical)) {
    const title = `logical volume ${group}/${name}`;
    if ('refused' in blocks) refused.push(`${title} ${blocks.refused}`);
    else
      volumes.push(
        await describe(title, blocks, await contentOf(blocks), [
          `mapper=${mapperName(group, name)}`,
          `lv=${group}/${name}`,
          `lvid=${id}`,
        ]),
      );
  }
  return { volumes, refused };
}

async function describe(title: string, blocks: Blocks, content: Content, names: string[]): Promise<Volume> {
  const found = { title, content, blocks };
  if (content === 'FAT') {
    const { uuid, label } = await fatNames(blocks);
    return { ...found, names: new Set([...names, `uuid=${uuid.toLowerCase()}`, `label=${label}`]) };
  }
  if (content !== 'ext4') return { ...found, names: new Set(names) };
  try {
    const ext4 = await Ext4.open(blocks);
    const { uuid, label } = ext4.superblock;
    return { ...found, ext4, names: new Set([...names, `uuid=${uuid}`, `label=${label}`]) };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`${title}: ${error.message}`);
  }
}
