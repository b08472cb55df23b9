import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Item } from '../../integration/workload/images.ts';
import { type CaseLayer, file, folder, program, symlink } from './layers.ts';

/** One image of the parity tests. */
export interface ImageCase {
  name: string;
  /** Bottom first. */
  layers: CaseLayer[];
  /** `config` of the image configuration. */
  config: object;
  /** Lines that `audit.sh` must print, beside those of every container. */
  says: string[];
  /** Paths that the container makes, beside the points of its mounts. */
  makes?: string[];
}

/** A script of this folder. */
export const script = (name: string) => readFileSync(join(import.meta.dirname, name));
/** What every image has: busybox from this machine, and the audit. */
export const base: Item[] = [
  folder('bin'),
  program('bin/busybox', readFileSync('/bin/busybox')),
  symlink('bin/sh', 'busybox'),
  program('audit', script('audit.sh')),
  program('list', script('list.sh')),
];

export const accounts: Item[] = [
  folder('etc'),
  file(
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n1234:x:77:78::/n:/bin/sh\n',
  ),
  file('etc/group', 'root:x:0:\napp:x:1001:\nwheel:x:10:app\nvideo:x:44:app,root\n007:x:700:\n'),
];

/** Runs the audit and nothing else. */
export const run = { Entrypoint: ['/audit'] };
