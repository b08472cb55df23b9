import { largestUnpacked } from '../../host/squashfs.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { readable, type TarEntry } from '../../host/tar/entry.ts';

/** What an entry takes beside its content, in bytes: a million empty names are no small base either. */
const overhead = 4096;

/**
 * Counts what a base takes when it is unpacked. Holes and zeros cost a hostile image nothing; whoever unpacks it pays.
 * @returns is told each entry before its content is read; throws MalformedError at the first that is too much
 */
export function sizeBudget(): (entry: Pick<TarEntry, 'name' | 'size'>) => void {
  let left = largestUnpacked;
  return ({ name, size }) => {
    left -= size + overhead;
    if (left < 0)
      throw new MalformedError(
        `its files take more than ${largestUnpacked / 2 ** 30} GiB, the last of them ${readable(name)}`,
      );
  };
}
