import { dirname, join } from 'node:path';

/** Where an image that keeps its id lies, and where the one that is to take its place is made. */
export interface ReplacementPlaces {
  id: string;
  /** `handoff/cvm_<id>` and `target/cvm_<id>`. */
  handoff: string;
  bundle: string;
  target: string;
  /** Folders of the new image; in each is a `cvm_<id>`. The first is also the sign that a replacement is under way. */
  nextHandoffFolder: string;
  nextTargetFolder: string;
  nextHandoff: string;
  nextBundle: string;
  /** Held by the rebuild that makes it, and by whoever finishes it. */
  lock: string;
}

/** @param handoffFolder `handoff/`; `target/` lies beside it */
export function replacementPlaces(handoffFolder: string, id: string): ReplacementPlaces {
  const target = join(dirname(handoffFolder), 'target');
  const nextHandoffFolder = join(handoffFolder, `.cvm_${id}.next`);
  const nextTargetFolder = join(target, `.cvm_${id}.next`);
  return {
    id,
    handoff: join(handoffFolder, `cvm_${id}`),
    bundle: join(target, `cvm_${id}`),
    target,
    nextHandoffFolder,
    nextTargetFolder,
    nextHandoff: join(nextHandoffFolder, `cvm_${id}`),
    nextBundle: join(nextTargetFolder, `cvm_${id}`),
    lock: join(handoffFolder, `.cvm_${id}.lock`),
  };
}
