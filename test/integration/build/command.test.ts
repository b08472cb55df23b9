import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../../src/build/builder-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'command-test-'));
  await mkdir(join(folder, 'bundle'));
  await writeFile(join(folder, 'file'), 'no bundle');
});
afterAll(() => rm(folder, { recursive: true }));

function cvm(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(projectRoot, 'bin/cvm'), args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: '/usr/bin:/bin', HOME: folder, XDG_CACHE_HOME: folder, XDG_STATE_HOME: folder },
  });
  expect(stderr + stdout).not.toMatch(/^\s+at .*\.ts:\d+/m);
  return { status, stdout, stderr };
}

describe('cvm', () => {
  it('prints help and version with status 0', () => {
    expect(cvm('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('build') });
    expect(cvm('--version')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each([
    ['an unknown command', ['bild']],
    ['an unknown option', ['build', '--develop', 'x.yml']],
    ['no configuration file', ['build']],
    ['a configuration file that is not there', ['build', '--dev', 'absent.yml']],
    ['a word for a number', ['boot', 'bundle', '--timeout', 'long']],
    ['an unknown accelerator', ['boot', 'bundle', '--accel', 'hvf']],
    ['a port forward of another form', ['boot', 'bundle', '--forward', '8080']],
    ['a port that there is not', ['boot', 'bundle', '--forward', '70000:1']],
    ['an address without port', ['kbs', 'serve', '--listen', 'localhost']],
    ['an address with a port that there is not', ['kbs', 'serve', '--listen', '127.0.0.1:70000']],
    ['an unknown action on the cache', ['cache', 'wipe']],
    ['an age that is no number', ['cache', 'prune', '--days', '-1']],
  ])('ends with status 2 and says why, given %s', (_, args) => {
    const { status, stdout, stderr } = cvm(...args);
    expect(stderr).not.toBe('');
    expect(status).toBe(2);
    expect(stdout).not.toContain('is ready');
  });

  it('says that a folder or file is no bundle', () => {
    for (const name of ['bundle', 'file', 'absent']) {
      const { status, stderr } = cvm('boot', name);
      expect(status, name).not.toBe(0);
      expect(stderr.match(/^error: /gm), name).toHaveLength(1);
    }
  });

  it('says that there are no logs where there is no drive', () => {
    for (const name of ['bundle', 'file', 'absent']) {
      const { status, stderr } = cvm('logs', name);
      expect(status, name).not.toBe(0);
      expect(stderr.match(/^error: /gm), name).toHaveLength(1);
    }
  });

  it('lists an empty cache', () => {
    expect(cvm('cache')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^0 entries, /) });
  });
});
