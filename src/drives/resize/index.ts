/** Growing and shrinking of the plain drives. */
export {
  type Listing,
  type ResizeMethod,
  type ResizeOptions,
  type ResizeResult,
  resizeDrive,
} from './resize.ts';
export { sizeText } from './size.ts';
