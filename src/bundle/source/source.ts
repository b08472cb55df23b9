import type { Blocks } from '../../host/disk/blocks.ts';

/** A file of a bundle: its bytes, or why there are none. */
export type SourceFile = Blocks | 'missing' | 'not regular';

/** The files of a bundle, wherever they lie: in a folder, or inside of an archive. */
export interface BundleSource extends AsyncDisposable {
  /** `cvm_<id>`. */
  folderName: string;
  /** What was opened, for messages. */
  path: string;
  /**
   * One of the files of a bundle. Symbolic links are not followed.
   * @throws UserError where it is there and cannot be read
   */
  file(name: string): Promise<SourceFile>;
}

/** Bytes that are read at once. */
const chunk = 2 ** 20;

/** All bytes of a file, in order. */
export async function* bytesOf(file: Blocks, signal?: AbortSignal): AsyncGenerator<Buffer> {
  for (let at = 0; at < file.size; at += chunk) {
    signal?.throwIfAborted();
    yield file.read(at, Math.min(chunk, file.size - at));
  }
}
