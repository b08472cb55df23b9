import { createInterface } from 'node:readline';
import { duplexPair } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { registers, standstill } from '../../../src/boot/standstill.ts';

/** QEMU's end of a control socket, whose answers come from `look`. */
function machine(look: (count: number) => string) {
  const [ours, qemu] = duplexPair();
  let count = 0;
  createInterface({ input: qemu }).on('line', (line) => {
    const { execute } = JSON.parse(line) as { execute: string };
    const answer = execute === 'human-monitor-command' ? look(count++) : {};
    qemu.write(`${JSON.stringify({ return: answer })}\r\n`);
  });
  qemu.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
  return { control: ours, looks: () => count };
}

const dump = (counter: number, pointer = 0x7ecd) =>
  `\r\nCPU#0\r\nRAX=0 RBX=0 RCX=${counter} RDX=0\r\nRIP=${pointer} RFL=00000246\r\nES =0000\r\n`;

it('resolves when no register changes at several looks in a row', async () => {
  const stuck = machine((count) => dump(Math.min(count, 7)));
  await standstill(stuck.control, { looks: 3, interval: 1, signal: AbortSignal.timeout(5000) });
  expect(stuck.looks()).toBeGreaterThanOrEqual(11);
});

it('does not take a loop that counts for a standstill, whatever its instruction pointer', async () => {
  const busy = machine((count) => dump(count));
  const watching = standstill(busy.control, { looks: 3, interval: 1, signal: AbortSignal.timeout(200) });
  await expect(watching).rejects.toThrow();
  expect(busy.looks()).toBeGreaterThan(10);
});

it('never resolves where QEMU does not answer, and stops when told to', async () => {
  const [ours] = duplexPair();
  const stop = new AbortController();
  const watching = standstill(ours, { looks: 1, interval: 1, signal: stop.signal });
  await delay(30);
  stop.abort();
  await expect(watching).rejects.toThrow();
});

it('is not disturbed by a socket that breaks when QEMU is killed', async () => {
  const [ours] = duplexPair();
  const stop = new AbortController();
  const watching = standstill(ours, { looks: 1, interval: 1, signal: stop.signal });
  // Without a listener the error would end the process, and vitest fails the run.
  ours.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  await delay(30);
  stop.abort();
  await expect(watching).rejects.toThrow();
});

it('reads the general registers of every processor and nothing else', () => {
  const text = `${dump(1)}CR0=1\r\nGDT= 0\r\nCPU#1\r\nR8 =1 R9 =2\r\nR12=3\r\nRIP=5\r\nXMM00=9`;
  expect(registers(JSON.stringify({ return: text }))?.split('\n')).toEqual([
    'RAX=0 RBX=0 RCX=1 RDX=0',
    'RIP=32461 RFL=00000246',
    'R8 =1 R9 =2',
    'R12=3',
    'RIP=5',
  ]);
  expect(registers('{"return": {}}')).toBeUndefined();
  expect(registers('{"event": "SHUTDOWN"}')).toBeUndefined();
});
