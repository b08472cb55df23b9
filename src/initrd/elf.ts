import { UserError } from '../host/errors.ts';

/*
 * 64-bit little-endian ELF: System V ABI, chapters 4 (object files) and 5 (program loading), and its AMD64 supplement.
 */

/** Offsets in the file header, in bytes. */
const file = {
  class: 4,
  data: 5,
  machine: 18,
  programHeaders: 32,
  programHeaderSize: 54,
  programHeaderCount: 56,
} as const;
/** Offsets in a program header, in bytes. */
const program = { type: 0, offset: 8, address: 16, fileSize: 32 } as const;
const segment = { load: 1, dynamic: 2, interpreter: 3 } as const;
const tag = { end: 0, needed: 1, stringTable: 5, rpath: 15, runpath: 29 } as const;

const programHeaderLength = 56;
/** Far more than any program has. Each entry may lead to a search, so their numbers are the file's hold over the build. */
const most = { programHeaders: 128, dynamicStrings: 512 } as const;

/** What an x86-64 program or library says it needs to be loaded. */
export interface LoaderNeeds {
  /** Path of its loader; undefined in libraries and static programs. */
  interpreter: string | undefined;
  /** Names of libraries: DT_NEEDED. */
  libraries: string[];
  /** Folders it has searched first, `$ORIGIN` and all: DT_RUNPATH, else DT_RPATH. */
  searchPath: string[];
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  size: number;
}

/**
 * Reads what a program needs out of its headers. Nothing of it is run, and no loader is asked: a base may be anybody's.
 * @returns undefined for what is no ELF file
 * @throws UserError where the file is damaged or for another processor
 */
export function loaderNeeds(bytes: Buffer, name: string): LoaderNeeds | undefined {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const damaged = () => new UserError(`cannot make the initrd: ${name} of the base is a damaged program`);
  if (bytes[file.class] !== 2 || bytes[file.data] !== 1 || bytes.readUInt16LE(file.machine) !== 62)
    throw new UserError(`cannot make the initrd: ${name} of the base is no x86-64 program`);
  try {
    const segments = segmentsOf(bytes);
    const content = ({ offset, size }: Segment) => {
      if (offset + size > bytes.length) throw damaged();
      return bytes.subarray(offset, offset + size);
    };
    const interpreter = segments.find(({ type }) => type === segment.interpreter);
    const dynamic = segments.find(({ type }) => type === segment.dynamic);
    const entries = dynamic === undefined ? [] : dynamicEntries(content(dynamic));
    const table = entries.find(([key]) => key === tag.stringTable)?.[1];
    const strings = (key: number) => {
      const wanted = entries.filter(([each]) => each === key);
      if (wanted.length > most.dynamicStrings) throw damaged();
      return wanted.map(([, at]) => stringAt(bytes, fileOffset(segments, table! + at)));
    };
    const [runpath] = strings(tag.runpath);
    const [rpath] = strings(tag.rpath);
    return {
      interpreter: interpreter && untilNul(content(interpreter)),
      libraries: strings(tag.needed),
      searchPath: (runpath ?? rpath ?? '').split(':').filter((folder) => folder !== ''),
    };
  } catch (error) {
    // Every number comes from the file, so a read outside of it is the file's fault.
    if (error instanceof RangeError) throw damaged();
    throw error;
  }
}

function segmentsOf(bytes: Buffer): Segment[] {
  const start = Number(bytes.readBigUInt64LE(file.programHeaders));
  const count = bytes.readUInt16LE(file.programHeaderCount);
  const length = bytes.readUInt16LE(file.programHeaderSize);
  if (count > most.programHeaders || (count > 0 && length !== programHeaderLength))
    throw new RangeError('a table of program headers that no program has');
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * programHeaderLength;
    return {
      type: bytes.readUInt32LE(at + program.type),
      offset: Number(bytes.readBigUInt64LE(at + program.offset)),
      address: Number(bytes.readBigUInt64LE(at + program.address)),
      size: Number(bytes.readBigUInt64LE(at + program.fileSize)),
    };
  });
}

function dynamicEntries(bytes: Buffer): [key: number, value: number][] {
  const entries: [number, number][] = [];
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const key = Number(bytes.readBigUInt64LE(at));
    if (key === tag.end) break;
    entries.push([key, Number(bytes.readBigUInt64LE(at + 8))]);
  }
  return entries;
}

/** Where an address in memory lies in the file. */
function fileOffset(segments: readonly Segment[], address: number): number {
  const found = segments.find(
    (each) => each.type === segment.load && address >= each.address && address < each.address + each.size,
  );
  if (found === undefined) throw new RangeError('an address outside of every segment');
  return found.offset + (address - found.address);
}

function stringAt(bytes: Buffer, offset: number): string {
  if (offset >= bytes.length) throw new RangeError('a string outside of the file');
  return untilNul(bytes.subarray(offset, offset + 4096));
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}
