import { execa } from 'execa';
import { spawnOptions } from '../host/run.ts';
import { installCommand, locate, packageOf, type Step, steps, type Tool, tools } from '../host/tools.ts';
import type { Check, CheckContext, CheckGroup, Outcome } from './check.ts';
import { compareVersions, versionIn } from './tool-version.ts';

/** Every program of the table: there, able to start, new enough. */
export const toolChecks: CheckGroup = {
  id: 'tools',
  title: 'Host tools',
  checks: Object.entries(tools).map(([name, tool]) => toolCheck(name, tool)),
};

/** The check of one program. */
export function toolCheck(name: string, tool: Tool): Check {
  return { id: `tools.${name}`, title: name, run: (context) => checkTool(name, tool, context) };
}

async function checkTool(name: string, tool: Tool, { situation, signal }: CheckContext): Promise<Outcome> {
  const ahead = await situation.stepsAhead();
  const needed = tool.steps.some((step) => ahead.has(step)) && !(tool.unlessRoot && situation.isRoot);
  const bad = needed ? 'problem' : 'warning';
  const uses = usesText(tool.steps);
  const packageName = packageOf(tool);
  const path = locate(name, tool);
  const facts = { package: packageName, steps: tool.steps, needed };
  const install = { hint: installCommand([packageName]), packages: [packageName] };
  if (path === undefined) {
    return {
      status: bad,
      says: `not installed; for ${uses}`,
      ...install,
      facts: { ...facts, installed: false },
    };
  }
  const found = { ...facts, installed: true, path };
  if (tool.version === false) return { status: 'ok', says: `installed; for ${uses}`, facts: found };
  const { words, broken } = await askVersion(path, tool.version ?? ['--version'], signal);
  const version = versionIn(words);
  if (version === undefined) {
    const again = { hint: `apt-get install --reinstall ${packageName}`, facts: found };
    if (broken !== undefined) return { status: bad, says: `${path} does not work: ${broken}`, ...again };
    return { status: 'warning', says: `${path} does not tell its version; for ${uses}`, ...again };
  }
  const { minimum } = tool;
  const all = { ...found, version, ...(minimum === undefined ? {} : { minimum: minimum.version }) };
  if (minimum !== undefined && compareVersions(version, minimum.version) < 0) {
    const says = `${version} lacks ${minimum.lacks}: ${minimum.version} or later is needed for ${uses}`;
    return { status: bad, says, ...install, facts: all };
  }
  return { status: 'ok', says: `${version}; for ${uses}`, facts: all };
}

function usesText(uses: readonly Step[]): string {
  return uses.map((step) => steps[step]).join(', ');
}

/** Time for a program to tell its version, in milliseconds. */
const versionTime = 8_000;

/**
 * Starts a program and returns what it printed. Whatever it is, it ends in time, with all that it started: it gets a
 * process group of its own.
 */
async function askVersion(
  path: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ words: string; broken?: string }> {
  const child = execa(path, [...args], {
    ...spawnOptions({ cwd: '/' }),
    all: true,
    detached: true,
    reject: false,
    maxBuffer: 100_000,
  });
  const stop = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It ended by itself meanwhile.
    }
  };
  const limit = AbortSignal.any([signal, AbortSignal.timeout(versionTime)]);
  limit.addEventListener('abort', stop, { once: true });
  try {
    const { all, exitCode, shortMessage, failed } = await child;
    signal.throwIfAborted();
    const words = String(all ?? '');
    if (limit.aborted) return { words: '', broken: `it did not end within ${versionTime / 1000} s` };
    if (!failed) return { words };
    const last = words.trim().split('\n').at(-1) ?? '';
    const broken = last !== '' ? last : exitCode === undefined ? shortMessage! : `status ${exitCode}`;
    // 126 and 127: it could not be started, for want of a library or an interpreter. What it says then is no version.
    const started = exitCode !== undefined && exitCode < 126;
    return { words: started ? words : '', broken };
  } finally {
    limit.removeEventListener('abort', stop);
  }
}
