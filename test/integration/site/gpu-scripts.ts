import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

/**
 * The scripts of the GPU in a folder of their own. There is no GPU where the tests run: stand-ins take the place of NVIDIA's programs.
 * What the scripts say goes to standard output, the verdict to the file `verdict`.
 */
export interface GpuScripts extends AsyncDisposable {
  path(name: string): string;
  file(name: string, text: string): Promise<void>;
  /** A stand-in for a program, in front of the PATH. */
  program(name: string, script: string): Promise<void>;
  /** A script as its unit starts it: what it said, and how it ended. */
  start(name: string, ...args: string[]): Promise<{ status: number | undefined; said: string }>;
  /** The environment of the scripts. */
  env: Record<string, string>;
}

export async function gpuScripts(): Promise<GpuScripts> {
  const folder = await mkdtemp(join(tmpdir(), 'gpu-test-'));
  const path = (name: string) => join(folder, name);
  const file = async (name: string, text: string) => {
    await mkdir(dirname(path(name)), { recursive: true });
    await writeFile(path(name), text);
  };
  const env = {
    gpu_run: path('run'),
    PATH: `${path('bin')}:${process.env.PATH}`,
    SERVICE_RESULT: 'exit-code',
  };
  await cp(templatePath('site/gpu'), path('cvm/gpu'), { recursive: true });
  await file(
    'cvm/workload.sh',
    `say() { echo "$*"; }\nbounded() { "$@"; }\nverdict() { echo "verdict $*" >> ${path('verdict')}; }\n`,
  );
  return {
    path,
    file,
    env,
    async program(name, script) {
      await file(`bin/${name}`, `#!/bin/sh\n${script}\n`);
      await chmod(path(`bin/${name}`), 0o755);
    },
    async start(name, ...args) {
      const { stdout, stderr, exitCode } = await execa(path(`cvm/gpu/${name}`), args, { env, reject: false });
      expect(stderr).toBe('');
      return { status: exitCode, said: stdout };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
