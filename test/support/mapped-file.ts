import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Holds a mapping of the file whose pages were all written to before: what is written through them later touches no time. For each line
 * that it reads from the pipe `ask` it puts the file of that name over the mapped one, and answers a byte.
 */
const program = `
import mmap, sys
target, ask, answer = sys.argv[1:]
with open(target, 'r+b') as file:
    pages = mmap.mmap(file.fileno(), 0)
for at in range(0, len(pages), mmap.PAGESIZE):
    pages[at] = pages[at]
with open(ask) as asked, open(answer, 'wb', buffering=0) as answered:
    answered.write(b'.')
    for line in asked:
        with open(line.rstrip('\\n'), 'rb') as content:
            pages[:] = content.read()
        answered.write(b'.')
`;

/** Two contents of one length that a file has by turns, while none of its times changes. */
export class MappedFile implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;
  readonly #ask: number;
  readonly #answer: number;
  readonly #ended: Promise<unknown>;
  /** Time of change after the last write that the kernel noted, in ns. */
  readonly #changed: bigint;

  /** The file holds the first content at once. @param extension of its name, with the dot */
  constructor(first: Buffer, second: Buffer, extension = '') {
    // In memory, where the kernel never writes pages back: that would have it note the next write again.
    const parent = statSync('/dev/shm', { throwIfNoEntry: false }) ? '/dev/shm' : tmpdir();
    this.#folder = mkdtempSync(join(parent, 'mapped-test-'));
    const at = (name: string) => join(this.#folder, name);
    this.path = at(`file${extension}`);
    const size = Math.max(first.length, second.length);
    for (const [name, content] of [
      ['first', first],
      ['second', second],
      [`file${extension}`, first],
    ] as const)
      writeFileSync(at(name), Buffer.concat([content, Buffer.alloc(size - content.length)]));
    execFileSync('mkfifo', [at('ask'), at('answer')]);
    // Open both ways: neither side waits for the other.
    this.#ask = openSync(at('ask'), 'r+');
    this.#answer = openSync(at('answer'), 'r+');
    const child = spawn('python3', ['-c', program, this.path, at('ask'), at('answer')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.#ended = once(child, 'close');
    this.#stop = () => child.kill();
    this.#await();
    this.#changed = this.#changeTime();
  }

  readonly #stop: () => void;

  #await(): void {
    readSync(this.#answer, Buffer.alloc(1));
  }

  #changeTime(): bigint {
    return statSync(this.path, { bigint: true }).ctimeNs;
  }

  /** Returns once the file has that content. */
  put(which: 'first' | 'second'): void {
    writeSync(this.#ask, `${join(this.#folder, which)}\n`);
    this.#await();
  }

  /** Whether every time of the file is what it was before the contents took turns. */
  get timesKept(): boolean {
    return this.#changeTime() === this.#changed;
  }

  async [Symbol.asyncDispose]() {
    this.#stop();
    await this.#ended;
    closeSync(this.#ask);
    closeSync(this.#answer);
    rmSync(this.#folder, { recursive: true });
  }
}
