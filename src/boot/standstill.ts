import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** Arguments by which QEMU answers QMP on its file descriptor 3, a socket pair that this process holds the other end of. */
export const controlArguments: readonly string[] = [
  ...['-chardev', 'socket,id=control,fd=3'],
  ...['-mon', 'chardev=control,mode=control'],
];

/**
 * Resolves when a machine has come to a standstill: all general registers of all its processors, instruction pointers
 * included, are the same at several looks in a row. Firmware that refuses a kernel says nothing and ends so, in a loop
 * of one instruction (edk2: CpuDeadLoop); what copies, hashes or waits for a timer changes a register.
 * Meant for the time before the kernel: an idle kernel looks alike.
 * @param control socket of {@link controlArguments}
 * @throws AbortError by the signal; otherwise never settles where QEMU ends first.
 */
export async function standstill(
  control: Duplex,
  { looks = 8, interval = 1000, signal }: { looks?: number; interval?: number; signal: AbortSignal },
): Promise<void> {
  let last: string | undefined;
  let same = 0;
  const still = Promise.withResolvers<void>();
  // QEMU may end while something is being written or read; readline hands errors of its input on.
  control.on('error', () => {});
  const answers = createInterface({ input: control });
  answers.on('error', () => {});
  answers.on('line', (line) => {
    const now = registers(line);
    if (now === undefined) return;
    same = now === last ? same + 1 : 0;
    last = now;
    if (same >= looks) still.resolve();
  });
  const ask = (command: object) => control.write(`${JSON.stringify(command)}\n`);
  ask({ execute: 'qmp_capabilities' });
  const stop = new AbortController();
  const asking = (async () => {
    for (;;) {
      await delay(interval, undefined, { signal: AbortSignal.any([signal, stop.signal]) });
      ask({ execute: 'human-monitor-command', arguments: { 'command-line': 'info registers -a' } });
    }
  })();
  try {
    await Promise.race([still.promise, asking]);
  } finally {
    stop.abort();
    await asking.catch(() => {});
  }
}

/** The lines `RAX=…`, `RSI=…`, `R8 =…`, `R12=…`, `RIP=…` (or `EAX=…`) of each processor in one answer of QMP. */
export function registers(answer: string): string | undefined {
  const { return: text } = JSON.parse(answer) as { return?: unknown };
  if (typeof text !== 'string') return undefined;
  return text
    .split(/\r?\n/)
    .filter((line) => /^(?:[ER][A-Z]{2}|R\d+ ?)=/.test(line))
    .join('\n');
}
