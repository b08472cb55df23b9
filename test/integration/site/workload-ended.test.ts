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
  for (const folder of ['applog', 'dev', 'run/cvm/workload/rootfs', 'usr/lib/cvm'])
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

  it('is not held up by a pipe that the workload put in the place of the boot log, or by a console that takes nothing', async () => {
    execFileSync('mkfifo', [join(root, 'applog/boot.log'), join(root, 'dev/console')]);
    await ended(7);
    expect((await text('run/cvm/workload.failures')).trim()).toBe('1');
    await ended(0);
    expect(existsSync(join(root, 'powered-off'))).toBe(true);
  });
});
