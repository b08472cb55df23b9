import type { SourceFile } from '../../../host/source-file.ts';
import { headOf } from '../../../host/tar/bytes.ts';

/** Disk formats that qemu reads for us, by qemu's own names. Its other drivers are left alone: fewer parsers for a hostile file. */
export type DiskFormat = 'qcow2' | 'qcow' | 'qed' | 'vmdk' | 'vhdx' | 'vdi' | 'vpc';

/** What a file's first bytes say: its format, and what of it would have qemu open other files or ask for a password. */
export interface DiskHeader {
  format: DiskFormat;
  /** Completes *it …*; undefined where the file stands alone. */
  refers?: string | undefined;
}

const backing = 'refers to a backing file';

/**
 * Recognises a disk format by its header, and what the header refers to. This is looked at before any program opens the
 * file: qemu would follow a name of the header to any file of this machine.
 * @returns undefined for what is none of them: a raw image, or no image at all
 */
export async function readDiskHeader(source: SourceFile): Promise<DiskHeader | undefined> {
  const head = Buffer.alloc(64 * 1024);
  (await headOf(source.read(), head.length)).copy(head);
  const is = (offset: number, magic: string) =>
    head.toString('latin1', offset, offset + magic.length) === magic;
  if (is(0, 'QFI\xfb')) return qcow(head);
  if (is(0, 'QED\0')) {
    // docs/interop/qed_spec.txt: features at 16, bit 0 is a backing file.
    return { format: 'qed', refers: head.readUInt8(16) & 1 ? backing : undefined };
  }
  if (is(0, 'KDMV')) return vmdk(head);
  if (is(0, 'COWD') || is(0, '# Disk DescriptorFile')) {
    return { format: 'vmdk', refers: 'is a VMDK description of other files' };
  }
  if (is(0, 'vhdxfile')) return { format: 'vhdx' };
  if (is(64, '\x7f\x10\xda\xbe')) return { format: 'vdi' };
  if (is(0, 'conectix')) {
    // Virtual Hard Disk Image Format Specification: disk type at 60, 4 is a differencing disk.
    return { format: 'vpc', refers: head.readUInt32BE(60) === 4 ? backing : undefined };
  }
  return undefined;
}

/** docs/interop/qcow2.txt; numbers are big-endian. */
function qcow(head: Buffer): DiskHeader {
  const version = head.readUInt32BE(4);
  const hasBacking = head.readBigUInt64BE(8) !== 0n ? backing : undefined;
  if (version === 1) {
    // Crypt method at 36.
    return {
      format: 'qcow',
      refers: hasBacking ?? (head.readUInt32BE(36) !== 0 ? 'is encrypted' : undefined),
    };
  }
  const incompatible = version >= 3 ? head.readUInt32BE(76) : 0;
  const refers =
    hasBacking ??
    (head.readUInt32BE(32) !== 0 ? 'is encrypted' : undefined) ??
    (incompatible & 4 ? 'keeps its data in an external file' : undefined);
  return { format: 'qcow2', refers };
}

/**
 * VMware Virtual Disk Format 1.1, sparse extents; numbers are little-endian, places in sectors. A capacity of 0 turns the
 * embedded description into a list of other files for qemu, so that it is refused as well. qemu looks for a parent from byte
 * 512 on whatever place the header gives, so that none may be named anywhere before the data.
 */
function vmdk(head: Buffer): DiskHeader {
  const capacity = head.readBigUInt64LE(12);
  const place = Number(head.readBigUInt64LE(28)) * 512;
  const size = Number(head.readBigUInt64LE(36)) * 512;
  if (capacity === 0n) return { format: 'vmdk', refers: 'is a VMDK description of other files' };
  if (place + size > head.length) return { format: 'vmdk', refers: 'has its description in an odd place' };
  const parent = /parentFileNameHint/i.test(head.toString('latin1'));
  return { format: 'vmdk', refers: parent ? backing : undefined };
}
