import type { Exported } from './export.ts';

/** Where the new drive is made while the old one stays as it is. Disposing removes what was not put in place. */
export interface Workspace extends AsyncDisposable {
  /** Shows the new drive's bytes; one at a time. */
  open(options?: { readOnly?: boolean }): Promise<Exported>;
  /** Cuts or extends the new drive to its size, bytes. */
  setSize(bytes: number): Promise<void>;
  /** Makes all of it ready to be put in place and brings it to the disk. */
  prepare(): Promise<void>;
  /**
   * Puts the new drive in the old one's place.
   * @param before run with the finished file while the old drive, or a whole overlay, still has the name
   */
  install(lock: AsyncDisposable, before: (finished: string) => Promise<void>): Promise<void>;
}
