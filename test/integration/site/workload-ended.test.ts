import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

let root: string;

/** The guest's script on this machine: what it names by absolute path lies below `root`, and nothing is powered off. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'ended-test-'));
  for (const folder of ['applog', 'dev', 'run/cvm/ram/workload', 'usr/lib/cvm'])
    await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, 'run/cvm/verdict-port'), '');
  for (const name of ['workload.sh', 'workload-ended']) {
    const text = await readFile(templatePath(`site/${name}`), 'utf8');
    const moved = text
      .replaceAll(/(?<![\w$}/])\/(applog|dev\/console|run|usr\/lib\/cvm)(?![\w])/g, `${root}/$1`)
      .replace('kill -48 1', `: > ${root}/powered-off`);
    await writeFile(join(root, 'usr/lib/cvm', name), moved);
  }
});

afterEach(() => rm(root, { recursive: true, force: true }));

/** Runs it as systemd does after the workload. */
async function ended(exitStatus: number): Promise<void> {
  await writeFile(join(root, 'run/cvm/workload.pipe.drained'), '');
  const env = {
    ...process.env,
    SERVICE_RESULT: exitStatus === 0 ? 'success' : 'exit-code',
    EXIT_CODE: 'exited',
    EXIT_STATUS: String(exitStatus),
  };
  const { status, stderr } = spawnSync('sh', [join(root, 'usr/lib/cvm/workload-ended')], {
    env,
    timeout: 60_000,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}

const text = (path: string) => readFile(join(root, path), 'utf8');

describe('workload-ended', () => {
  it('says how the workload ended, and powers off', async () => {
    await ended(0);
    expect(await text('applog/boot.log')).toMatch(/^\[[\d.]+\] the workload ended well \(exit status 0\)\n$/);
    expect(await text('dev/console')).toMatch(/^cvm: \[/);
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
  });

  it('lets the pause grow with each failure, and ends the VM after the fifth', async () => {
    const pauses: string[] = [];
    for (let n = 0; n < 5; n++) {
      expect(existsSync(join(root, 'powered-off'))).toBe(false);
      await ended(7);
      pauses.push((await text('run/cvm/workload.pause')).trim());
    }
    expect(pauses.slice(0, 4)).toEqual(['5', '10', '20', '40']);
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
    expect(await text('applog/boot.log')).toContain('powering off: the workload failed 5 times in a row');
  });

  const shutdown = 'Shutting down site site-1 due to: Cross-site validation failed: "x" is\\n not known';

  it.each([
    0, 1,
  ])('does not call it success where FLARE ended the site, whatever it ends with: %d', async (status) => {
    await writeFile(join(root, 'run/cvm/workload.log-size'), '8\n');
    await writeFile(
      join(root, 'applog/workload.log'),
      `earlier\n2026 - CCManager - CRITICAL - ${shutdown}\nbye\n`,
    );
    await ended(status);
    const log = await text('applog/boot.log');
    expect(log).toMatch(
      /FAILED E76: FLARE ended this site as a security measure: Shutting down site site-1 due to: Cross-site validation failed: x isn not known\n.*powering off\n$/,
    );
    expect(log).not.toContain('ended well');
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
  });

  it('takes no words of an earlier run for those of this one', async () => {
    const before = `CRITICAL - ${shutdown}\n`;
    await writeFile(join(root, 'run/cvm/workload.log-size'), `${before.length}\n`);
    await writeFile(join(root, 'applog/workload.log'), `${before}all is well\n`);
    await ended(0);
    expect(await text('applog/boot.log')).toContain('the workload ended well');
  });

  it('finds them in a log that began anew while the workload ran', async () => {
    await writeFile(join(root, 'run/cvm/workload.log-size'), '100000000\n');
    await writeFile(join(root, 'applog/workload.log'), `CRITICAL - ${shutdown}\n`);
    await ended(0);
    expect(await text('applog/boot.log')).toContain('FAILED E76');
  });

  it.each(['pipe', 'link'])('is not led or held up by a %s in the place of the log', async (kind) => {
    await writeFile(join(root, 'elsewhere'), `CRITICAL - ${shutdown}\n`);
    const log = join(root, 'applog/workload.log');
    execFileSync(
      ...((kind === 'pipe' ? ['mkfifo', [log]] : ['ln', ['-s', join(root, 'elsewhere'), log]]) as [
        string,
        string[],
      ]),
    );
    await ended(0);
    expect(await text('applog/boot.log')).toContain('the workload ended well');
  });

  it('starts nothing again where the container could not be set up', async () => {
    await writeFile(join(root, 'run/cvm/workload.refused'), '');
    await ended(1);
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
    expect(await text('applog/boot.log')).toMatch(/^.*powering off\n$/);
  });

  it('is not held up by a pipe that the workload put in the place of the boot log, or by a console that takes nothing', async () => {
    execFileSync('mkfifo', [join(root, 'applog/boot.log'), join(root, 'dev/console')]);
    await ended(7);
    expect((await text('run/cvm/workload.failures')).trim()).toBe('1');
    await ended(0);
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
  });
});
