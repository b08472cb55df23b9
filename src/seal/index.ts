/** The sealed root drive: layers under dm-verity, inside LUKS, inside qcow2. */
export {
  blockBytes,
  layoutFile,
  luksHeaderBytes,
  type Segment,
  type SegmentSource,
  smallestVault,
} from './layout.ts';
export { type Seal, type SealOptions, sealDrive } from './seal.ts';
