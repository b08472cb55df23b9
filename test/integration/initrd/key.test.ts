import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { shellQuote, templatePath } from '../../../src/host/template.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'key-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** What InitApp's shell says and ends with where its client is this script, which gets one second for each of two attempts. */
async function fetchKey(client: string): Promise<string[]> {
  const text = await readFile(templatePath('initrd/lib/key.sh'), 'utf8');
  await writeFile(join(folder, 'key.sh'), text.replaceAll('/usr/bin/', `${folder}/`));
  await writeFile(join(folder, 'kbs-client'), `#!/bin/sh\n${client}\n`);
  await chmod(join(folder, 'kbs-client'), 0o755);
  const script = `
    PATH=${shellQuote(folder)}:$PATH
    say() { echo "$1"; }
    say_output() { tail -n 5 "$1" | head -c 200; }
    fail() { echo "$1: $2"; kill -KILL $$; }
    kind=production kbs_url=https://kbs kbs_path=keys/root/x kbs_attempts=2 kbs_retry_seconds=0
    key_folder=${shellQuote(join(folder, 'keys'))}
    . ${shellQuote(join(folder, 'key.sh'))}
    report_device=/dev/null client_seconds=1
    fetch_key`;
  const { stdout } = spawnSync('busybox', ['sh', '-uc', script], { encoding: 'utf8' });
  return stdout.trimEnd().split('\n');
}

const attempt = (number: number) => `requesting the disk key from https://kbs (attempt ${number} of 2)`;

it('a client that never answers is ended, and the boot stops with its code', async () => {
  expect(await fetchKey('exec sleep 1000')).toEqual([
    attempt(1),
    'no key; kbs-client did not end within 1 seconds',
    attempt(2),
    'no key; kbs-client did not end within 1 seconds',
    'E35: the KBS gave no key in 2 attempts; kbs-client did not end within 1 seconds',
  ]);
});

it.each([
  ['an answer', 'exec cat /dev/zero', 'answer'],
  ['words of its own', 'exec cat /dev/zero >&2', 'errors'],
])('a client that gives %s without end fills no memory', async (_, client, name) => {
  const said = await fetchKey(client);
  expect(said.at(-1)).toBe(
    'E35: the KBS gave no key in 2 attempts; kbs-client was given an answer without end',
  );
  expect((await stat(join(folder, 'keys', name))).size).toBeLessThanOrEqual(4 * 2 ** 20);
});

it('a client that asks for memory without end gets none, and the next attempt follows', async () => {
  const said = await fetchKey('exec python3 -c "b = bytearray(3 << 30)"');
  expect(said.filter((line) => line.startsWith('requesting'))).toEqual([attempt(1), attempt(2)]);
  expect(said.at(-1)).toBe('E35: the KBS gave no key in 2 attempts');
});

it('a disk key is taken', async () => {
  const key = 'ab'.repeat(64);
  expect(await fetchKey(`printf %s ${key} | base64 -w 0`)).toEqual([
    attempt(1),
    'the KBS released the disk key',
  ]);
});
