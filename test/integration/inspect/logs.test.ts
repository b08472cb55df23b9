import { execFile, execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeDrive } from '../../../src/drives/index.ts';

const cvm = join(import.meta.dirname, '../../../src/cli/main.ts');
let top: string;
let content: string;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'logs-test-'));
  content = join(top, 'content');
  await mkdir(content);
});
afterEach(() => rm(top, { recursive: true }));

/** Puts what lies in `content` on an applog drive and prints its logs. */
async function logs(...args: string[]) {
  const drive = join(top, 'applog.qcow2');
  await makeDrive({
    file: drive,
    bytes: 256 * 2 ** 20,
    label: 'applog',
    content,
    seed: 'x',
    workDirectory: top,
  });
  const { stdout } = await promisify(execFile)(process.execPath, [cvm, 'logs', drive, ...args], {
    maxBuffer: 2 ** 28,
  });
  return stdout;
}

test('the code that a production boot ended with is explained below the logs', async () => {
  await writeFile(
    join(content, 'boot.log'),
    '[9.1] requesting the disk key\n[309.2] FAILED E35: the KBS gave no key\n[309.3] powering off\n',
  );
  await writeFile(join(content, 'workload.log'), '[1.0] FAILED E43: the workload says so\n');
  const stdout = await logs();
  expect(stdout).toContain('==> boot.log <==\n[9.1] requesting the disk key\n');
  expect(stdout).toMatch(
    /==> what the codes mean <==\nE35: the KBS gave no key \(boot\.log, line 2; the VM stopped\)\n\n {2}No key/,
  );
  expect(stdout).not.toContain('E43: the seal');
  expect(await logs('--no-explain')).not.toContain('what the codes mean');
});

test('a log without a code has nothing below it', async () => {
  await writeFile(join(content, 'boot.log'), '[1.0] the workload ended well\n');
  expect(await logs('boot.log')).toBe('[1.0] the workload ended well\n');
});

test('what drives a terminal does not reach it, from lines, names or links', async () => {
  await writeFile(
    join(content, 'boot.log'),
    '[1] \u001b]0;x\u0007\u009b31m \u202e\r\n[2] FAILED E41: \u001b[2J\n',
  );
  await writeFile(join(content, 'a\u001b[31m\nb'), 'x');
  await symlink('/etc/passwd', join(content, 'workload.log'));
  const stdout = await logs();
  expect(stdout).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  expect(stdout).not.toContain('root:');
  expect(stdout).toContain('E41: the root drive cannot be opened with this key');
});

test('a log that is too large is left out, the others are printed', async () => {
  await writeFile(join(content, 'boot.log'), '[1] FAILED E10: x\n');
  await writeFile(join(content, 'huge.log'), '');
  await truncate(join(content, 'huge.log'), 100 * 2 ** 20);
  const stdout = await logs();
  expect(stdout).toContain('(left out: it has 100 MiB, more than 64.0 MiB)');
  expect(stdout).toContain('E10: the drive applog is missing');
});

test('a large log of short lines is printed whole', async () => {
  await writeFile(join(content, 'boot.log'), '[1] E69: x\n'.repeat(1_000_000));
  const stdout = await logs('boot.log');
  expect(stdout.match(/^\[1\] E69: x$/gm)).toHaveLength(1_000_000);
  expect(stdout).toContain('lines 1 to 1000000, 1000000 times');
});

test('a reader that goes early is no error', async () => {
  await writeFile(join(content, 'boot.log'), '[1] a line of some length\n'.repeat(200_000));
  await logs();
  const drive = join(top, 'applog.qcow2');
  const line = execFileSync(
    'sh',
    ['-c', `"$1" "$2" logs "$3" | head -n 1`, 'sh', process.execPath, cvm, drive],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  expect(line).toBe('==> boot.log <==\n');
});
