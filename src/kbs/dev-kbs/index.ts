export type { AccessRule } from './admin/rules.ts';
export { developmentCa } from './authority.ts';
export type { EraName } from './era/index.ts';
export type { RequestCounter } from './exchange.ts';
export type { Fault } from './faults/fault.ts';
export { parseFault } from './faults/parse.ts';
export type { DevelopmentKbsOptions } from './options.ts';
export { type DevelopmentKbs, startDevelopmentKbs } from './server.ts';
export type { Received } from './store/store.ts';
