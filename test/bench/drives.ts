/**
 * Benchmark of `cvm drive cp`: a file goes to a drive, beside `cp` onto the same file system through a loop mount, both until it is lasting. Needs
 * root and loop devices for the latter. Exit status 1 where the bound is passed. Argument: bytes in MiB, 2048 unless given.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyToDrive } from '../../src/drives/index.ts';
import { isWithin, table } from './table.ts';
import { timeByTurns } from './timing.ts';

const megabytes = Number(process.argv[2] ?? 2048);
const folder = await mkdtemp(join(tmpdir(), 'drive-bench-'));
const path = (name: string) => join(folder, name);
const shell = (text: string) => execFileSync('sh', ['-euc', text], { cwd: folder });
try {
  await mkdir(path('mount'));
  shell(
    `head -c ${megabytes}M /dev/urandom > source; truncate -s ${megabytes + 512}M empty.raw; mke2fs -q -t ext4 -m 0 empty.raw`,
  );
  const options = { recursive: false, verify: false, progress: () => {}, warn: () => {} };
  const works = {
    ours: async () => {
      shell('rm -f drive.qcow2; qemu-img convert -O qcow2 empty.raw drive.qcow2');
      await copyToDrive([path('source')], path('drive.qcow2'), '/', options);
    },
    cp: () => {
      shell('rm -f loop.raw; cp --sparse=always empty.raw loop.raw; mount -o loop loop.raw mount');
      shell('cp source mount/source; umount mount; sync loop.raw');
    },
  };
  const { ours, cp } = await timeByTurns(works, { warmUp: 0, rounds: 3 });
  const comparison = {
    ours: [`${megabytes} MiB by cvm drive cp`, ours] as [string, typeof ours],
    other: ['cp onto a loop mount', cp] as [string, typeof cp],
    bound: 2,
  };
  console.log(table([comparison]));
  if (!isWithin(comparison)) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
