import { type Blocks, requireInside } from '../../host/disk/blocks.ts';
import { parseQcow2Header, type Qcow2Header, qcow2HeaderBytes } from '../../host/disk/qcow2-header.ts';
import { MalformedError } from '../../host/tar/bytes.ts';
import { clusterOffset, secondTable } from './tables.ts';

/** A qcow2 drive's content, read without any tool, wherever its file lies. */
export interface Drive extends Blocks {
  header: Qcow2Header;
  /** Runs of bytes that were ever written, in order; all else reads as zeros. */
  allocated(): AsyncGenerator<{ offset: number; length: number }>;
}

/** Second tables that are kept, each as large as a cluster. */
const keptTables = 64;

/**
 * Opens a drive for reading at any place. The file may be hostile: every table and cluster must lie inside of it, and nothing
 * outside of it is ever looked at.
 * @throws MalformedError where it is no drive of its own
 */
export async function openQcow2(file: Blocks): Promise<Drive> {
  const header = parseQcow2Header(await file.read(0, Math.min(qcow2HeaderBytes, file.size)));
  if (header.backingName !== undefined) throw new MalformedError('it names a backing file');
  const { clusterBytes, virtualBytes, l1Entries, l1Table } = header;
  const first = await file.read(l1Table, l1Entries * 8);
  const entriesPerTable = clusterBytes / 8;
  const tables = new Map<number, Promise<Buffer>>();

  /** The second table that a cluster's entry stands in; undefined where there is none. */
  function tableOf(cluster: number): Promise<Buffer> | undefined {
    const place = secondTable(first.readBigUInt64BE(Math.floor(cluster / entriesPerTable) * 8));
    if (place === undefined) return undefined;
    const table = tables.get(place) ?? file.read(place, clusterBytes);
    tables.delete(place);
    tables.set(place, table);
    if (tables.size > keptTables) tables.delete(tables.keys().next().value!);
    return table;
  }

  async function placeOf(cluster: number): Promise<number | undefined> {
    const table = await tableOf(cluster);
    return table && clusterOffset(table.readBigUInt64BE((cluster % entriesPerTable) * 8));
  }

  async function read(offset: number, length: number): Promise<Buffer> {
    requireInside(virtualBytes, offset, length);
    const result = Buffer.alloc(length);
    for (let have = 0; have < length; ) {
      const cluster = Math.floor((offset + have) / clusterBytes);
      const inside = (offset + have) % clusterBytes;
      const place = await placeOf(cluster);
      let count = Math.min(length - have, clusterBytes - inside);
      if (place !== undefined) {
        // qemu-img writes clusters one behind the other: read what lies together at once.
        for (let next = cluster + 1; have + count < length; next += 1) {
          if ((await placeOf(next)) !== place + (next - cluster) * clusterBytes) break;
          count += Math.min(length - have - count, clusterBytes);
        }
        // The last cluster of a file may be cut off where its end was never written.
        const there = Math.max(0, Math.min(count, file.size - place - inside));
        if (there < count) requireInside(file.size, place, 1);
        (await file.read(place + inside, there)).copy(result, have);
      }
      have += count;
    }
    return result;
  }

  async function* allocated(): AsyncGenerator<{ offset: number; length: number }> {
    const clusters = Math.ceil(virtualBytes / clusterBytes);
    // Whoever lets many entries lead to the same place would have us read for ever.
    let left = Math.ceil(file.size / clusterBytes);
    const spend = () => {
      left -= 1;
      if (left < 0) throw new MalformedError('its tables lead to the same clusters again and again');
    };
    let run: { offset: number; length: number } | undefined;
    for (let cluster = 0; cluster < clusters; cluster += 1) {
      if (tableOf(cluster) === undefined) {
        // A whole table of holes: on to the next one's first cluster.
        cluster += entriesPerTable - (cluster % entriesPerTable) - 1;
        continue;
      }
      if (cluster % entriesPerTable === 0) spend();
      if ((await placeOf(cluster)) !== undefined) {
        spend();
        const offset = cluster * clusterBytes;
        const length = Math.min(clusterBytes, virtualBytes - offset);
        if (run !== undefined && run.offset + run.length === offset && run.length < 2 ** 20) {
          run.length += length;
          continue;
        }
        if (run !== undefined) yield run;
        run = { offset, length };
      }
    }
    if (run !== undefined) yield run;
  }

  return { size: virtualBytes, header, read, allocated };
}
