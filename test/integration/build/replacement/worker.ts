/** Replaces an image in the folder that is its first argument, for tests that kill it. */
import { replaceIn } from './site.ts';

await replaceIn(process.argv[2]!, process.argv[3] as 'production' | 'development');
