import { z } from 'zod';
import type { Accounts } from './accounts.ts';
import { type ImageConfig, imageConfigSchema } from './image-config.ts';
import type { NoFolder } from './mount-points.ts';

/** One image layer as a squashfs that overlayfs stacks. */
export interface Layer {
  /** `sha256:<hex>` of the uncompressed tar, computed while it was converted or made. */
  diffId: string;
  /** Absolute path of the squashfs, in the cache. */
  squashfs: string;
  /** Size of the squashfs, in bytes. */
  bytes: number;
  /** SHA-256 of the squashfs as it was made, lower-case hex. */
  sha256: string;
}

/** A container image, ready to be sealed. */
export interface Workload {
  /** `repository:tag`, where the archive names one. */
  reference?: string;
  /** SHA-256 of the archive's file, in hex. */
  archiveSha256: string;
  /** `sha256:<hex>` of the image configuration. */
  imageId: string;
  /**
   * Bottom first. Layers below one that hides everything (an opaque root) are left out, because overlayfs merges the
   * roots of all its layers whatever their marks say. The last one may be one of folders alone: those that a layer would
   * change the attributes of without mentioning them, and the volumes that the image declares and does not hold.
   */
  layers: Layer[];
  config: ImageConfig;
  /** `/etc/passwd` and `/etc/group` as they show through all layers. */
  accounts: Accounts;
  /** What the image has in the way of folders that a container may have mounted. */
  noFolders: NoFolder[];
  /** True where nothing had to be converted. */
  fromCache: boolean;
}

/** What the cache keeps of an imported archive; the layers are entries of their own. */
export const recordSchema = z.object({
  reference: z.string().optional(),
  imageId: z.string(),
  diffIds: z.array(z.string()).min(1),
  config: imageConfigSchema,
  noFolders: z.array(
    z.object({ path: z.string(), kind: z.enum(['file', 'link', 'other']), layer: z.number() }),
  ),
  accounts: z.object({ passwd: z.string().optional(), group: z.string().optional() }),
  /** Repeated at every build: what was left out of the image does not come back by being cached. */
  warnings: z.array(z.string()),
});
export type WorkloadRecord = z.infer<typeof recordSchema>;
