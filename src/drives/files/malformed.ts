import { DiskFullError } from '../../host/disk/nbd.ts';
import { UserError } from '../../host/errors.ts';
import { MalformedError } from '../../host/tar/bytes.ts';

/** Runs work on a drive; what the drive itself is to blame for becomes a sentence that names it. */
export async function onDrive<T>(verb: string, drive: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MalformedError) {
      throw new UserError(`cannot ${verb} drive ${drive}: ${error.message}`, {
        hint: `cvm drive check ${drive} tells what is wrong with it`,
        cause: error,
      });
    }
    if (error instanceof DiskFullError) {
      throw new UserError(`cannot ${verb} drive ${drive}: ${error.message}`, {
        hint: 'what was copied is kept; make room there and run the same command again',
        cause: error,
      });
    }
    throw error;
  }
}
