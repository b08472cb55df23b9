import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';

const folder = mkdtempSync(join(tmpdir(), 'vault-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What InitApp's shell ends with where e2fsck gives that status, and the kernel said so much before and after. */
function repair(status: number, before: string, after: string): string {
  const script = `
    say() { echo "$1"; }
    say_output() { :; }
    fail() { echo "$1: $2"; kill -KILL $$; }
    kernel_log=${JSON.stringify(before)}
    dmesg() { printf '%s' "$kernel_log"; }
    check() { kernel_log=${JSON.stringify(after)}; return ${status}; }
    ${readFileSync(templatePath('initrd/lib/vault.sh'), 'utf8')
      .replaceAll('/usr/sbin/e2fsck -p', 'check')
      .replaceAll('/run/', `${folder}/`)}
    vault=/dev/null
    vault_errors=$(drive_errors)
    repair_vault
    echo repaired`;
  const { stdout } = spawnSync('busybox', ['sh', '-uc', script], { encoding: 'utf8' });
  return stdout.trimEnd();
}

const readError = 'I/O error, dev vda, sector 81920 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2\\n';
const altered = 'device-mapper: integrity: dm-3: Checksum failed at sector 0x800\\n';

it('a vault that the host cannot read is not called damaged', () => {
  expect(repair(8, '', readError)).toMatch(/^E56: the host's drive gave read or write errors: /);
});

it('a vault that was altered is damaged, also where the drive once gave errors before', () => {
  expect(repair(8, '', altered)).toBe('E52: the vault is damaged beyond automatic repair');
  expect(repair(4, readError, `${readError}${altered}`)).toMatch(/^E52: /);
});

it('a vault that could be repaired is used', () => {
  expect(repair(1, '', readError)).toMatch(/repaired$/);
});
