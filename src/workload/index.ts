export type { Accounts } from './accounts.ts';
export type { ImageConfig } from './image-config.ts';
export { cachedArchive, type ImportOptions, importArchive } from './import.ts';
export { type RuntimeConfig, type RuntimeSettings, runtimeConfig } from './runtime/config.ts';
export { volumesOf } from './runtime/volumes.ts';
export type { Layer, Workload } from './workload.ts';
