import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { auditBundle } from '../e2e/audit.ts';
import { stage } from '../e2e/vault-stage.ts';

const mib = 2 ** 20;

test('a full vault is reported, a wiped mark is not taken for a first boot, and without integrity data is kept too', async () => {
  await using work = await workDirectory();
  await using vm = await auditBundle('vault', {
    settings: { root_drive_size: '1', vault_integrity: 'false' },
  });
  const drive = vm.file('crypt_root.qcow2');
  const asBuilt = join(work.path, 'as-built.qcow2');
  await copyFile(drive, asBuilt);
  const fill = await stage(vm, 'fill');
  expect(fill.end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(fill.log).toMatch(/\] E55: the vault is (9[5-9]|100) % full: the workload has to remove/);
  expect(fill.said).toContain('filled: No space left on device');
  const full = await stage(vm, 'full');
  expect(full.end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(full.log).toContain('E55: the vault is full');
  expect(full.said).toContain('the vault takes no more');
  expect(full.said).toContain('kept: kept');

  // The mark in front of the vault is the first thing that changed since the build.
  const { stdout } = await execa('qemu-img', ['compare', '-f', 'qcow2', '-F', 'qcow2', asBuilt, drive], {
    reject: false,
  });
  const mark = Number(/mismatch at offset (\d+)/.exec(stdout)?.[1]);
  expect(mark).toBeGreaterThan(16 * mib);
  await execa('qemu-io', ['-f', 'qcow2', '-c', `write -P 0 ${mark} 4096`, drive]);
  const wiped = await stage(vm, 'full');
  expect(wiped.end).toMatchObject({
    end: 'powered-off',
    verdict: {
      result: 'failed',
      code: 'E54',
      message:
        'the mark of the vault is neither that of a new one nor that of one made: it was altered or wiped',
    },
  });
  expect(wiped.log).not.toContain('the vault is new');
  expect(wiped.said).toEqual([]);
});
