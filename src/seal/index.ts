/** The sealed root drive: layers under dm-verity, inside LUKS, inside qcow2. */
export { layoutFile, type Segment, type SegmentSource } from './layout.ts';
export { type Seal, type SealOptions, sealDrive } from './seal.ts';
