import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Assignment, Report } from './registry-worker.ts';

/** A process of registry-worker.ts. */
export interface Worker {
  process: ChildProcess;
  lines: AsyncIterator<string>;
}

function startWorker(): Worker {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'registry-worker.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin!.on('error', () => {}); // EPIPE of one that was killed
  return { process: child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
}

/** What came of an assignment. */
export interface Done {
  reports: Report[];
  /** It was killed before it came to the end. */
  killed: boolean;
}

/** Worker processes that are used again until they are killed: starting one takes longer than what it does. */
export class Workers implements AsyncDisposable {
  #idle: Worker[] = [];
  #all = new Set<Worker>();

  /** Sees to it that so many can begin at once. */
  async keepReady(count: number): Promise<void> {
    const missing = Array.from({ length: Math.max(0, count - this.#idle.length) }, startWorker);
    for (const worker of missing) this.#all.add(worker);
    // An empty assignment is answered once the modules are loaded.
    const empty = { directory: '/nonexistent', operations: [] };
    this.#idle.push(...missing);
    await Promise.all(missing.map((worker) => converse(worker, empty)));
  }

  /**
   * Gives an idle worker an assignment.
   * @param killWhen is asked to resolve at the moment when the worker is to be killed.
   */
  async assign(assignment: Assignment, killWhen?: (reports: Report[]) => Promise<unknown>): Promise<Done> {
    const worker = this.#idle.pop()!;
    const reports: Report[] = [];
    const conversation = converse(worker, assignment, reports);
    const isDue = killWhen?.(reports).then(() => true) ?? conversation.then(() => false);
    if (await Promise.race([isDue, conversation.then(() => false)])) await this.#kill(worker);
    else this.#idle.push(worker);
    return { reports, killed: !(await conversation) };
  }

  async #kill(worker: Worker): Promise<void> {
    this.#all.delete(worker);
    const { process: child } = worker;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((worker) => this.#kill(worker)));
  }
}

/** Hands a worker an assignment and takes its reports down. @returns whether it came to the end. */
async function converse(worker: Worker, assignment: Assignment, reports: Report[] = []): Promise<boolean> {
  worker.process.stdin!.write(`${JSON.stringify(assignment)}\n`);
  for (;;) {
    const { value, done } = await worker.lines.next();
    if (done) return false;
    const report = JSON.parse(value) as Report;
    if ('ended' in report) return true;
    reports.push(report);
  }
}
