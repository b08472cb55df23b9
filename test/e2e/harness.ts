import { constants } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, onTestFailed } from 'vitest';
import {
  bootDevelopmentBundle,
  type DevelopmentBoot,
  type DevelopmentBootOptions,
} from '../../src/boot/index.ts';
import { type Manifest, readManifest } from '../../src/bundle/index.ts';
import { readDriveFile } from '../../src/drives/index.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { built } from './built.ts';

/** A bundle to boot and to tamper with, gone with its scope: `await using vm = await copyOfBundle()`. */
export interface Vm extends AsyncDisposable {
  folder: string;
  manifest: Manifest;
  /** Path of a file of the bundle. */
  file(name: string): string;
  boot(options?: BootSettings): Promise<Boot>;
  /** A file of applog, read without mounting; undefined where there is none. */
  log(name: string): Promise<string | undefined>;
}

/** What a test may choose of a boot. */
export type BootSettings = Pick<DevelopmentBootOptions, 'hostile' | 'kbsUrl' | 'portForwards' | 'timeout'> & {
  onConsole?: (line: string) => void;
};

/** How a boot ended, and all that the guest's console showed. */
export type Boot = DevelopmentBoot & { console: string[] };

/** Where the quickstart workload and everything else that runs in the CVM leaves its words. */
const workloadLogs = ['workload.log', 'quickstart.log'];

/** A private copy of a bundle that the set-up built. */
export async function copyOfBundle(kind: 'development' | 'production' = 'development'): Promise<Vm> {
  const { folder } = built()[kind];
  const vm = await useFolder(async (work) => {
    const copy = join(work, basename(folder));
    await cp(folder, copy, { recursive: true, mode: constants.COPYFILE_FICLONE });
    return copy;
  });
  return vm;
}

/** A VM of the bundle folder that `place` puts into a private folder. */
export async function useFolder(place: (work: string) => Promise<string>): Promise<Vm> {
  const work = await workDirectory({ bytes: 2 ** 29 });
  try {
    const folder = await place(work.path);
    const file = (name: string) => join(folder, name);
    return {
      folder,
      manifest: await readManifest(folder),
      file,
      boot: (settings = {}) => boot(folder, settings),
      async log(name) {
        const content = await readDriveFile(file('applog.qcow2'), `/${name}`, { maxBytes: 2 ** 20 });
        return content?.toString('utf8');
      },
      [Symbol.asyncDispose]: () => work[Symbol.asyncDispose](),
    };
  } catch (error) {
    await work[Symbol.asyncDispose]();
    throw error;
  }
}

async function boot(folder: string, { onConsole, ...settings }: BootSettings): Promise<Boot> {
  await using work = await workDirectory();
  const console: string[] = [];
  const notes: string[] = [];
  showOnFailure('console', console);
  showOnFailure('notes', notes);
  const end = await bootDevelopmentBundle({
    folder,
    state: built().state,
    workDirectory: work.path,
    timeout: 300,
    onConsole: (line) => {
      console.push(line);
      onConsole?.(line);
    },
    note: (text) => notes.push(text),
    ...settings,
  });
  return { ...end, console };
}

/** Prints the last 60 lines where the test fails. */
export function showOnFailure(title: string, lines: readonly string[]): void {
  onTestFailed(() => {
    process.stderr.write(`--- ${title}, the last lines:\n${lines.slice(-60).join('\n')}\n---\n`);
  });
}

/** The workload ran to its end in the sealed system, and the VM ended by itself. */
export async function expectWorkloadEnded(vm: Vm, end: Boot): Promise<void> {
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok', code: '' } });
  const log = await vm.log('workload.log');
  expect(log).toMatch(/^quickstart: vault is writable$/m);
  expect(log).toMatch(/^quickstart: done$/m);
  expect(await vm.log('boot.log')).toMatch(/\] the workload ended well \(exit status 0\)\n$/);
}

/** The VM said why in its boot log and on its port, powered off, and its workload never started. */
export async function expectFailedClosed(vm: Vm, end: Boot, code: string, message: RegExp): Promise<void> {
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'failed', code } });
  expect(end.verdict?.message).toMatch(message);
  await expectPoweredOffSaying(vm, end, `FAILED ${code}: ${end.verdict?.message}`);
}

/** {@link expectFailedClosed} for bundles that have no port for a verdict. */
export async function expectPoweredOffSaying(vm: Vm, end: Boot, line: string): Promise<void> {
  expect(end.end).toBe('powered-off');
  const log = (await vm.log('boot.log')) ?? '';
  const lines = log.trimEnd().split('\n');
  expect(lines.at(-2)).toContain(line);
  expect(lines.at(-1)).toMatch(/\] powering off$/);
  await expectNoWorkload(vm, end);
}

/** Nothing of the workload ran. */
export async function expectNoWorkload(vm: Vm, end: Boot): Promise<void> {
  for (const name of workloadLogs) expect(await vm.log(name)).toBeUndefined();
  expect(end.console.join('\n')).not.toMatch(/quickstart:|the workload ended/);
}
