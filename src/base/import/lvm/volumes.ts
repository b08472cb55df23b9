import { type Blocks, type Extent, joinedBlocks } from '../../../host/disk/blocks.ts';
import { MalformedError } from '../../../host/tar/bytes.ts';
import type { PhysicalVolume } from './physical-volume.ts';
import { type LvmSection, numberOf, parseLvmText, sectionOf, stringOf } from './text.ts';

/** A logical volume that an account would see below /dev/<group>/. */
export interface LogicalVolume {
  group: string;
  name: string;
  /** Ids of group and volume, 32 letters and digits each, without dashes: what udev calls `LVM-…`. */
  id: string;
  /** Its bytes, or why they cannot be had, completing *it …*. */
  blocks: Blocks | { refused: string };
}

const sector = 512;

/**
 * Every logical volume of the groups that these physical volumes belong to. Only linear ones can be read: one stripe in
 * each segment, all on this disk.
 * @throws MalformedError where the text of a group is damaged
 */
export function logicalVolumes(physical: readonly PhysicalVolume[]): LogicalVolume[] {
  const groups = new Map<string, { name: string; seqno: number; section: LvmSection }>();
  for (const text of physical.flatMap(({ texts }) => texts)) {
    for (const [name, section] of parseLvmText(text)) {
      if (!(section instanceof Map) || !section.has('seqno')) continue;
      const id = stringOf(section, 'id');
      const seqno = numberOf(section, 'seqno');
      // Each area has a copy; one that was written last has the highest number.
      if ((groups.get(id)?.seqno ?? -1) < seqno) groups.set(id, { name, seqno, section });
    }
  }
  return [...groups.values()].flatMap(({ name, section }) => volumesOf(name, section, physical));
}

function volumesOf(group: string, section: LvmSection, physical: readonly PhysicalVolume[]): LogicalVolume[] {
  const extentBytes = numberOf(section, 'extent_size') * sector;
  const places = new Map<string, { blocks: Blocks; start: number } | undefined>();
  for (const [name, volume] of sectionOf(section, 'physical_volumes')) {
    if (!(volume instanceof Map)) continue;
    const id = stringOf(volume, 'id').replaceAll('-', '');
    const found = physical.find((one) => one.id === id);
    places.set(name, found && { blocks: found.blocks, start: numberOf(volume, 'pe_start') * sector });
  }
  const logical = section.get('logical_volumes');
  if (!(logical instanceof Map)) return [];
  return [...logical].flatMap(([name, volume]): LogicalVolume[] => {
    if (!(volume instanceof Map)) return [];
    const status = volume.get('status');
    // Parts of other volumes (pools, mirror legs) are not visible.
    if (!Array.isArray(status) || !status.includes('VISIBLE')) return [];
    const id = (stringOf(section, 'id') + stringOf(volume, 'id')).replaceAll('-', '');
    return [{ group, name, id, blocks: linear(volume, extentBytes, places) }];
  });
}

function linear(
  volume: LvmSection,
  extentBytes: number,
  places: ReadonlyMap<string, { blocks: Blocks; start: number } | undefined>,
): LogicalVolume['blocks'] {
  const extents: Extent[] = [];
  let next = 0;
  for (let index = 1; index <= numberOf(volume, 'segment_count'); index++) {
    const segment = sectionOf(volume, `segment${index}`);
    const type = stringOf(segment, 'type');
    const stripes = segment.get('stripes');
    const single = type === 'linear' || (type === 'striped' && segment.get('stripe_count') === 1);
    if (!single)
      return { refused: `is of LVM type ${type === 'striped' ? 'striped' : JSON.stringify(type)}` };
    if (!Array.isArray(stripes) || stripes.length !== 2 || numberOf(segment, 'start_extent') !== next)
      throw new MalformedError('the text of its volume group has odd segments');
    const [on, from] = stripes;
    const place = typeof on === 'string' ? places.get(on) : undefined;
    if (place === undefined) return { refused: 'lies in part on another disk' };
    if (typeof from !== 'number' || !Number.isSafeInteger(from) || from < 0)
      throw new MalformedError('the text of its volume group has odd segments');
    const count = numberOf(segment, 'extent_count');
    next += count;
    extents.push({
      blocks: place.blocks,
      offset: place.start + from * extentBytes,
      length: count * extentBytes,
    });
  }
  return joinedBlocks(extents);
}

/** Name below /dev/mapper: dashes of either name are doubled, so that the single one parts them. */
export function mapperName(group: string, name: string): string {
  return `${group.replaceAll('-', '--')}-${name.replaceAll('-', '--')}`;
}
