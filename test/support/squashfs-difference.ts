import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { firstDifference } from './tree-difference.ts';

/**
 * Unpacks two squashfs images below a work folder, with owners and times as far as this account may, without device nodes.
 * @returns `<path>: <what differs>` of their first difference
 */
export async function squashfsDifference(first: string, second: string, work: string): Promise<string> {
  const trees = ['first', 'second'].map((name) => join(work, name)) as [string, string];
  for (const [index, image] of [first, second].entries()) {
    const tree = trees[index]!;
    await mkdir(tree);
    const reader = execa('sqfs2tar', [image], { buffer: false, encoding: 'buffer' });
    await reader.pipe('tar', ['-x', '-C', tree, '--exclude=dev', '--exclude=./dev']);
  }
  const found = await firstDifference(...trees, { times: true });
  return found ?? 'the trees are the same; their order in the image or an attribute differs';
}
