import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { handleSignals } from '../../../src/host/signals.ts';

const module = new URL('../../../src/host/signals.ts', import.meta.url).href;

/** Starts a process that handles signals, waits for its first line, and gives it a signal per further line. */
async function run(program: string, signals: NodeJS.Signals[]) {
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { handleSignals } from '${module}'; const alive = setInterval(() => {}, 1000); ${program}`,
  ]);
  let printed = '';
  const exited = once(child, 'exit');
  child.stdout.on('data', (data) => {
    printed += data;
    const next = signals.shift();
    if (next !== undefined) child.kill(next);
  });
  const [status, signal] = await exited;
  return { status, signal, lines: printed.trim().split('\n') };
}

const unwinds = `
  const { signal } = handleSignals();
  signal.addEventListener('abort', () => {
    console.log(signal.reason.name, signal.reason.message);
    clearInterval(alive);
    process.exitCode = signal.reason.status;
  });
  console.log('ready');`;

it.each([
  ['SIGINT', 130, 'UserError interrupted'],
  ['SIGTERM', 143, 'UserError interrupted by SIGTERM'],
  ['SIGHUP', 129, 'UserError interrupted by SIGHUP'],
] as const)('%s aborts with status %i and lets the process unwind', async (signal, status, reason) => {
  expect(await run(unwinds, [signal])).toEqual({ status, signal: null, lines: ['ready', reason] });
});

it('a second signal ends the process at once, through its exit handlers', async () => {
  const stuck = `
    const { signal } = handleSignals();
    signal.addEventListener('abort', () => console.log('unwinding, for ever'));
    process.on('exit', () => console.log('exit handler'));
    console.log('ready');`;
  const lines = ['ready', 'unwinding, for ever', 'exit handler'];
  expect(await run(stuck, ['SIGINT', 'SIGTERM'])).toEqual({ status: 143, signal: null, lines });
});

it('disposing it gives the signals back', async () => {
  const before = process.listenerCount('SIGINT');
  {
    using interruption = handleSignals();
    expect(interruption.signal.aborted).toBe(false);
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
  }
  expect(process.listenerCount('SIGINT')).toBe(before);
  const disposed = `handleSignals()[Symbol.dispose](); console.log('ready');`;
  expect(await run(disposed, ['SIGTERM'])).toMatchObject({ status: null, signal: 'SIGTERM' });
});
