import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256File } from '../../host/files.ts';
import { projectRoot } from '../builder-file.ts';

let known: Promise<string> | undefined;

/**
 * SHA-256, in hex, over the builder's own code: names and content of all below `src/` and `templates/`. Two builders of one version may
 * be of two commits; what one of them made is not what the other would make.
 */
export function builderCode(): Promise<string> {
  known ??= codeIn(['src', 'templates']);
  return known;
}

async function codeIn(folders: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of folders) {
    const entries = await readdir(join(projectRoot, folder), { withFileTypes: true, recursive: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
    for (const file of files.sort()) {
      const { hex } = await sha256File(file);
      hash.update(`${hex} ${file.slice(projectRoot.length)}\n`);
    }
  }
  return hash.digest('hex');
}
