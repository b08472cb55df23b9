import type { Inode } from '../../../host/ext4/inode.ts';
import type { Run } from '../../../host/ext4/mapping.ts';
import { type AttributeOptions, attributeCommands } from '../attributes.ts';
import { removeFileCommands } from '../remove-commands.ts';
import { here, quoted } from '../write/debugfs-script.ts';
import { type DriveEditor, emptyFile } from '../write/editor.ts';
import { type Folder, partialName, type Step } from './plan.ts';
import { openSource, type Range, readSourceBytes } from './source-content.ts';
import type { SourceEntry } from './source-tree.ts';

/** Bytes of one write, and how many writes are under way at once: the next piece is read while the last ones are written. */
const chunk = 2 * 2 ** 20;
const inFlight = 4;

/** Buffers of {@link chunk} bytes to be used again: new ones for every piece cost the collector more time than the copying. */
const spare: Buffer[] = [];

/** A part of a file that one commit brings. */
export interface Piece {
  step: Step & { kind: 'file' };
  /** The file on the drive, once it is made. */
  inode: number | undefined;
  ranges: readonly Range[];
  /** The file is whole with it, and gets its name. */
  isLast: boolean;
}

export interface BatchOptions extends AttributeOptions {
  onBytes: (count: number) => void;
  signal?: AbortSignal | undefined;
}

type OtherStep = Exclude<Step, { kind: 'file' }>;

/** Steps of a plan that are committed together. */
export class Batch {
  readonly #editor: DriveEditor;
  readonly #options: BatchOptions;
  readonly #steps: (OtherStep | Piece)[] = [];
  /** Content to write, in bytes. */
  bytes = 0;

  constructor(editor: DriveEditor, options: BatchOptions) {
    this.#editor = editor;
    this.#options = options;
  }

  get size(): number {
    return this.#steps.length;
  }

  add(step: OtherStep): void {
    this.#steps.push(step);
  }

  addPiece(piece: Piece): Piece {
    this.#steps.push(piece);
    for (const { first, end } of piece.ranges)
      this.bytes += (end - first) * this.#editor.superblock.blockSize;
    return piece;
  }

  /** @returns the files that are whole now */
  async commit(): Promise<{ entry: SourceEntry; inode: number }[]> {
    if (this.#steps.length === 0) return [];
    const { signal } = this.#options;
    await this.#editor.run(await this.#making(), signal);
    await this.#findInodes();
    const whole: { entry: SourceEntry; inode: number }[] = [];
    const finishing: string[] = [];
    for (const step of this.#steps) {
      if ('ranges' in step) {
        const inode = step.inode!;
        const runs = await this.#editor.runs(await this.#editor.inode(inode));
        await this.#writeContent(step, runs);
        finishing.push(...this.#finishing(step, inode, runs));
        if (step.isLast) whole.push({ entry: step.step.entry, inode });
      } else if (step.kind === 'finish folder') {
        finishing.push(...attributeCommands(step.folder.inode!, step.entry, this.#options));
      } else if (step.kind === 'link') {
        finishing.push(
          ...attributeCommands(await this.#inodeOf(step.parent, step.entry.name), step.entry, this.#options),
        );
      }
    }
    await this.#editor.run(finishing, signal);
    await this.#editor.commit();
    return whole;
  }

  /** Commands that make names, inodes and room. */
  async #making(): Promise<string[]> {
    const commands: string[] = [];
    let at: Folder | undefined;
    const enter = (folder: Folder) => {
      if (folder !== at) commands.push(...entering(folder));
      at = folder;
    };
    const replace = async (replaces: Inode | undefined, name: string) => {
      if (replaces !== undefined) commands.push(...(await removeFileCommands(this.#editor, replaces, name)));
    };
    for (const step of this.#steps) {
      if ('ranges' in step) {
        const { entry, parent, replaces } = step.step;
        const name = step.isLast && step.inode === undefined ? entry.name : partialName(entry);
        enter(parent);
        if (step.isLast) await replace(replaces, entry.name);
        if (step.inode === undefined) commands.push(`write ${emptyFile} ${quoted(name)}`);
        for (const { first, end } of step.ranges)
          commands.push(`fallocate ${here(name)} ${first} ${end - 1}`);
        if (step.isLast && step.inode !== undefined)
          commands.push(`ln <${step.inode}> ${quoted(entry.name)}`, `unlink ${quoted(name)}`);
      } else if (step.kind === 'make folder') {
        enter(step.parent);
        commands.push(`mkdir ${quoted(step.entry.name)}`);
      } else if (step.kind === 'link') {
        enter(step.parent);
        await replace(step.replaces, step.entry.name);
        commands.push(`symlink ${quoted(step.entry.name)} ${quoted(step.entry.target)}`);
      }
    }
    return commands;
  }

  readonly #lists = new Map<number, Map<string, number>>();

  async #inodeOf(parent: Folder, name: string): Promise<number> {
    const folder = parent.inode!;
    let names = this.#lists.get(folder);
    if (names === undefined) {
      const entries = await this.#editor.list(await this.#editor.inode(folder));
      names = new Map(entries.map((entry) => [entry.name, entry.inode]));
      this.#lists.set(folder, names);
    }
    const inode = names.get(name);
    if (inode === undefined) throw new Error(`debugfs did not make ${JSON.stringify(name)}`);
    return inode;
  }

  async #findInodes(): Promise<void> {
    for (const step of this.#steps) {
      if ('ranges' in step) {
        const { entry, parent } = step.step;
        step.inode ??= await this.#inodeOf(parent, step.isLast ? entry.name : partialName(entry));
      } else if (step.kind === 'make folder') {
        step.folder.inode = await this.#inodeOf(step.parent, step.entry.name);
      }
    }
  }

  async #writeContent({ step, ranges }: Piece, runs: readonly Run[]): Promise<void> {
    if (ranges.length === 0) return;
    const { onBytes, signal } = this.#options;
    const { blockSize } = this.#editor.superblock;
    await using source = await openSource(step.entry);
    const writing = new Set<Promise<void>>();
    let failure: { error: unknown } | undefined;
    const write = (physical: number, data: Buffer, buffer: Buffer) => {
      const mine = this.#editor
        .writeContent(physical, data)
        .then(() => onBytes(data.length))
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          writing.delete(mine);
          spare.push(buffer);
        });
      writing.add(mine);
    };
    try {
      for (const { offset, physical, length } of placed(ranges, runs, blockSize)) {
        signal?.throwIfAborted();
        const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(chunk);
        write(physical, await readSourceBytes(source.handle, offset, length, buffer), buffer);
        while (writing.size >= inFlight && failure === undefined) await Promise.race(writing);
        if (failure !== undefined) break;
      }
    } finally {
      await Promise.all(writing);
    }
    if (failure !== undefined) throw failure.error;
    await source.assertUnchanged();
  }

  /** Commands that make blocks count as written, and give the file size and, when it is whole, attributes. */
  #finishing({ step, ranges, isLast }: Piece, inode: number, runs: readonly Run[]): string[] {
    const { blockSize } = this.#editor.superblock;
    const fresh = runs.filter(({ written }) => !written);
    const marking = fresh.flatMap(({ logical, physical, count }) => [
      `goto_block ${logical}`,
      `replace_node ${logical} ${count} ${physical}`,
    ]);
    const size = isLast ? Number(step.entry.stat.size) : (ranges.at(-1)?.end ?? 0) * blockSize;
    return [
      ...(marking.length === 0 ? [] : [`extent_open <${inode}>`, ...marking, 'extent_close']),
      `set_inode_field <${inode}> size ${size}`,
      ...(isLast
        ? attributeCommands(inode, step.entry, this.#options)
        : [`set_inode_field <${inode}> mode 0100600`]),
    ];
  }
}

function entering(folder: Folder): string[] {
  if (folder.inode !== undefined) return [`cd <${folder.inode}>`];
  const { parent, name } = folder.made!;
  return [...entering(parent), `cd ${here(name)}`];
}

/** Where parts of a file go, at most {@link chunk} bytes each; everything in bytes. */
function* placed(ranges: readonly Range[], runs: readonly Run[], blockSize: number) {
  const perChunk = chunk / blockSize;
  let index = 0;
  for (const range of ranges) {
    for (let block = range.first; block < range.end; ) {
      while (index < runs.length && runs[index]!.logical + runs[index]!.count <= block) index++;
      const run = runs[index];
      if (run === undefined || run.logical > block) throw new Error(`block ${block} of a file has no place`);
      const end = Math.min(range.end, run.logical + run.count, block + perChunk);
      yield {
        offset: block * blockSize,
        physical: (run.physical + block - run.logical) * blockSize,
        length: (end - block) * blockSize,
      };
      block = end;
    }
  }
}
