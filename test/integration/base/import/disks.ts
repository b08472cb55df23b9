import { join } from 'node:path';
import { asRoot } from './system.ts';

/** A file system image of a folder, made by mke2fs. @param options for mke2fs */
export function ext4Of(tree: string, file: string, megabytes: number, ...options: string[]): string {
  asRoot(
    'rm -f "$2"; truncate -s "$3M" "$2"; tree=$1; file=$2; shift 3; chown -R 0:0 "$tree"; mke2fs -q -F -t ext4 "$@" -d "$tree" "$file"',
    ...[tree, file, String(megabytes)],
    ...options,
  );
  return file;
}

/** A partition: its image, and what its line for sfdisk says beside the size. */
export interface Part {
  file: string;
  line: string;
}

/**
 * A disk with a partition table by sfdisk and these partitions, each as large as its image.
 * @param label `gpt` or `dos`
 */
export function diskOf(file: string, label: 'gpt' | 'dos', parts: readonly Part[]): string {
  const script = `
    file=$1; label=$2; shift 2
    rm -f "$file"
    sectors=8192; table="label: $label"
    number=0
    for part; do
      image=\${part%%|*}; line=\${part#*|}
      if [ "$image" = extended ]; then table="$table
start=$sectors, type=5"; sectors=$((sectors + 2048)); continue; fi
      size=$(( ($(stat -c %s "$image") + 511) / 512 ))
      table="$table
start=$sectors, size=$size, $line"
      sectors=$((sectors + size + 4096))
    done
    truncate -s $((sectors * 512 + 4194304)) "$file"
    printf '%s\\n' "$table" | sfdisk --quiet "$file"
    sectors=8192
    for part; do
      image=\${part%%|*}
      if [ "$image" = extended ]; then sectors=$((sectors + 2048)); continue; fi
      dd if="$image" of="$file" bs=512 seek=$sectors conv=notrunc,sparse status=none
      size=$(( ($(stat -c %s "$image") + 511) / 512 ))
      sectors=$((sectors + size + 4096))
    done`;
  asRoot(script, file, label, ...parts.map((part) => `${part.file}|${part.line}`));
  return file;
}

/** An EFI system partition with a file on it. */
export function espOf(folder: string): string {
  const file = join(folder, 'esp');
  asRoot(
    'truncate -s 34M "$1"; mkfs.vfat -F 32 -i ABCD1234 "$1" >/dev/null; echo x > "$1.txt"; mcopy -i "$1" "$1.txt" ::x.txt',
    file,
  );
  return file;
}
