import type { BundleSource } from '../../bundle/index.ts';
import { readSuperblock } from '../../host/ext4/superblock.ts';
import { blocksOf, found } from '../inside.ts';
import { openQcow2 } from '../qcow2/drive.ts';

/** A drive of a bundle, sizes in bytes. */
export interface DriveSummary {
  name: string;
  /** Size of the file. */
  fileBytes: number | undefined;
  /** Size that the VM sees. */
  virtualBytes: number | undefined;
  /** Of a plain drive what its file system uses; of the root drive what was ever written to it. */
  usedBytes: number | undefined;
  /** Why something is not known. */
  problem: string | undefined;
}

const names = ['crypt_root.qcow2', 'applog.qcow2', 'user_config.qcow2', 'user_data.qcow2'] as const;

/** The four drives. */
export async function driveSummaries(source: BundleSource): Promise<DriveSummary[]> {
  const drives: DriveSummary[] = [];
  for (const name of names) {
    const summary: DriveSummary = {
      name,
      fileBytes: undefined,
      virtualBytes: undefined,
      usedBytes: undefined,
      problem: undefined,
    };
    const read = await found(async () => {
      const file = await blocksOf(source, name);
      summary.fileBytes = file.size;
      const drive = await openQcow2(file);
      summary.virtualBytes = drive.size;
      if (name === 'crypt_root.qcow2') {
        summary.usedBytes = 0;
        for await (const { length } of drive.allocated()) summary.usedBytes += length;
      } else {
        summary.usedBytes = (await readSuperblock(drive)).usedBytes;
      }
    });
    if ('problem' in read) summary.problem = read.problem;
    drives.push(summary);
  }
  return drives;
}
