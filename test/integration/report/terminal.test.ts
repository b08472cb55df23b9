import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { screen } from './programs/screen.ts';

const build = fileURLToPath(new URL('programs/build.ts', import.meta.url));

interface Terminal {
  env?: Record<string, string>;
  /** Columns of the terminal. */
  columns?: number;
  /** Bytes typed once `after` was shown. */
  type?: { after: string; keys: string };
}

/** Runs the build on a pseudo-terminal and returns what was sent to it. */
async function onTerminal(mode: string, { env = {}, columns = 80, type }: Terminal = {}) {
  const { CI: _, NO_COLOR: __, ...inherited } = process.env;
  const command = `stty cols ${columns} rows 30; exec ${process.execPath} ${build} ${mode}`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...inherited, TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let data = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    data += chunk;
    if (type !== undefined && data.includes(type.after)) {
      child.stdin.write(type.keys);
      type = undefined;
    }
  });
  const [status] = await once(child, 'close');
  // How long a task took depends on the machine.
  return { status, data, ...screen(data.replace(/\d+\.\d s\b/g, 'N s')) };
}

it('a build on a terminal leaves its list, the news, and the result as the last line', async () => {
  const { status, lines, cursorShown, coloured } = await onTerminal('ok');
  expect(lines).toEqual([
    '✔ Base system [cached]',
    '✔ Workload [N s]',
    '✔ Root drive [N s]',
    '✔ Bundle [N s]',
    'note: Base system: made of 200 packages',
    'warning: a device node was left out',
    'CVM Bundle /srv/target/site-1.tgz is ready',
  ]);
  expect({ status, cursorShown, coloured }).toEqual({ status: 0, cursorShown: true, coloured: true });
});

it('a failed build leaves its list, the error and a visible cursor, and nothing else', async () => {
  const { status, lines, cursorShown } = await onTerminal('fail');
  expect(lines).toEqual([
    '✔ Base system [cached]',
    '✔ Workload [N s]',
    '✖ Root drive [failed after N s]',
    expect.stringMatching(/^. Bundle$/),
    'note: Base system: made of 200 packages',
    'warning: a device node was left out',
    'error: cannot seal the root drive: no space',
    'hint: free 2 GiB',
  ]);
  expect({ status, cursorShown }).toEqual({ status: 1, cursorShown: true });
});

it('Ctrl-C stops the build in good order; what has not begun is shown as waiting', async () => {
  // Typed once a task was drawn as waiting.
  const type = { after: '◼', keys: '\x03' };
  const { status, lines, cursorShown } = await onTerminal('wait /nowhere', { type });
  expect(lines).toEqual([
    '✔ Base system [cached]',
    expect.stringMatching(/Workload \[stopped\]$/),
    '◼ Root drive',
    '◼ Bundle',
    'note: Base system: made of 200 packages',
    'error: interrupted',
  ]);
  expect({ status, cursorShown }).toEqual({ status: 130, cursorShown: true });
});

it('long titles do not break the list on a narrow terminal', async () => {
  const { lines } = await onTerminal('ok', { columns: 24 });
  expect(lines[0]).toBe('✔ Base system [cached]'.slice(0, 22));
  expect(lines.filter((line) => /^. (Base|Work|Root|Bundle)/.test(line))).toHaveLength(4);
});

it('NO_COLOR is honoured', async () => {
  const { lines, coloured } = await onTerminal('fail', { env: { NO_COLOR: '1' } });
  expect(coloured).toBe(false);
  expect(lines).toContain('error: cannot seal the root drive: no space');
});

it.each([
  { CI: 'true' },
  { NO_TTY: '1' },
  { TERM: 'dumb' },
])('plain lines are written with %o', async (env) => {
  const { data, status } = await onTerminal('ok', { env: env as Record<string, string> });
  expect(data).not.toContain('\x1b');
  expect(data).toMatch(/^\[ +0\.\d\] Base system \.\.\.\r\n/);
  expect(status).toBe(0);
});
