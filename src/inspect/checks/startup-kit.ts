import type { Check, Finding } from '../../bundle/index.ts';
import { hasPrivateName, PrivateKeyScanner } from '../../drives/index.ts';
import { Ext4 } from '../../host/ext4/filesystem.ts';
import { fileType, type Inode } from '../../host/ext4/inode.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { blocksOf } from '../inside.ts';
import { openQcow2 } from '../qcow2/drive.ts';

const subject = 'user_config.qcow2';
/** Bounds on a hostile drive: entries, folders in folders, bytes that are read. */
const most = { entries: 100_000, depth: 64, bytes: 4 * 2 ** 30 };

/**
 * Files of user_config by the rules by which the build takes private keys out of it: no name and no content of one may be there. The
 * drive is read without mounting it, and no name on it becomes a path here.
 */
export const startupKitCheck: Check = {
  name: 'startup kit',
  async run({ source, signal }): Promise<Finding[]> {
    try {
      const drive = await openQcow2(await blocksOf(source, subject));
      const ext4 = await Ext4.open(drive);
      const found: string[] = [];
      for await (const path of privateFiles(ext4, await ext4.root(), signal)) {
        found.push(path);
        if (found.length > 40) break;
      }
      if (found.length === 0) return [];
      const text = 'holds private keys, which belong into the sealed drive';
      return [{ subject, severity: 'failure', text, details: found, consequence: 'the host reads them' }];
    } catch (error) {
      // What is wrong with the drive itself, the check of the drives tells.
      if (error instanceof MalformedError)
        return [
          { subject, severity: 'not checked', text: `was not searched for private keys: ${error.message}` },
        ];
      throw error;
    }
  },
};

async function* privateFiles(
  ext4: Ext4,
  root: Inode,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  const left = { entries: most.entries, bytes: most.bytes };
  const waiting: { folder: Inode; path: string; depth: number }[] = [{ folder: root, path: '', depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { folder, path, depth } = next;
    for (const { name, inode: number } of await ext4.list(folder)) {
      signal?.throwIfAborted();
      left.entries -= 1;
      if (left.entries < 0 || depth > most.depth)
        throw new MalformedError('it has too many folders and files');
      if (name === '.' || name === '..') continue;
      const inode = await ext4.inode(number);
      const shown = `${path}/${Buffer.from(name, 'latin1').toString('utf8')}`;
      if (inode.type === fileType.directory) waiting.push({ folder: inode, path: shown, depth: depth + 1 });
      if (inode.type !== fileType.regular) continue;
      left.bytes -= inode.size;
      if (left.bytes < 0) throw new MalformedError(`it has more than ${most.bytes} bytes of files`);
      if (hasPrivateName(name) || (await hasPrivateContent(ext4, inode))) yield shown;
    }
  }
}

async function hasPrivateContent(ext4: Ext4, inode: Inode): Promise<boolean> {
  const scanner = new PrivateKeyScanner();
  for await (const piece of ext4.content(inode)) scanner.push(Buffer.from(piece));
  return scanner.found;
}
