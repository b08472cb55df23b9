export type { Accounts } from './accounts.ts';
export { firstId, idCount } from './ids.ts';
export type { ImageConfig } from './image-config.ts';
export { cachedArchive, type ImportOptions, importArchive } from './import.ts';
export { type RuntimeConfig, type RuntimeSettings, runtimeConfig } from './runtime/config.ts';
export { mountPointsFor } from './runtime/mounts.ts';
export type { Layer, Workload } from './workload.ts';
