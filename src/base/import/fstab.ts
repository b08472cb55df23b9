/** A line of /etc/fstab. */
export interface Mount {
  /** The first field as it is written. */
  source: string;
  /** Names by which volumes are known, see {@link fstabNames}; any of them may match. */
  names: string[];
  /** Mount point without leading slash; `''` is the root; undefined for swap and the like. */
  path: string | undefined;
  type: string;
}

/** Octal escapes of fstab(5): blanks and tabs in names. */
const unescaped = (field: string) =>
  field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Lines of an /etc/fstab, comments and lines of fewer than three fields left out. */
export function parseFstab(text: string): Mount[] {
  return text.split('\n').flatMap((line): Mount[] => {
    const [source, target, type] = line.replace(/#.*/, '').trim().split(/\s+/).map(unescaped);
    if (source === undefined || target === undefined || type === undefined) return [];
    const path = target.startsWith('/')
      ? target
          .split('/')
          .filter((part) => part !== '' && part !== '.')
          .join('/')
      : undefined;
    return [{ source, names: fstabNames(source), path, type }];
  });
}

/**
 * The names a source of fstab(5) gives a volume: `uuid=`, `label=`, `partuuid=`, `partlabel=`, `mapper=` (below /dev/mapper),
 * `lv=<group>/<name>`, `lvid=` (ids of both), `number=` (of the partition: the disk's own name means nothing outside of its machine).
 */
export function fstabNames(source: string): string[] {
  const tag = /^(UUID|PARTUUID|LABEL|PARTLABEL)="?([^"]*)"?$/i.exec(source);
  if (tag !== null) return [tagged(tag[1]!.toLowerCase(), tag[2]!)];
  const link = /^\/dev\/disk\/by-(uuid|partuuid|label|partlabel)\/(.+)$/.exec(source);
  if (link !== null) {
    const value = link[2]!.replaceAll(/\\x([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number(`0x${hex}`)),
    );
    return [tagged(link[1]!, value)];
  }
  // Ubuntu's installer writes the ids of group and volume: LVM-<32 characters><32 characters>.
  const byId = /^\/dev\/disk\/by-id\/dm-uuid-LVM-([A-Za-z0-9]{64})$/.exec(source);
  if (byId !== null) return [`lvid=${byId[1]}`];
  const mapper = /^\/dev\/mapper\/([^/]+)$/.exec(source);
  if (mapper !== null) return [`mapper=${mapper[1]}`];
  const partition = /^\/dev\/(?:[shv]d[a-z]+|xvd[a-z]+|(?:nvme\d+n\d+|mmcblk\d+)p)(\d+)$/.exec(source);
  if (partition !== null) return [`number=${partition[1]}`];
  const logical = /^\/dev\/([^/]+\/[^/]+)$/.exec(source);
  return logical === null ? [] : [`lv=${logical[1]}`];
}

function tagged(kind: string, value: string): string {
  return `${kind}=${kind === 'uuid' || kind === 'partuuid' ? value.toLowerCase() : value}`;
}
