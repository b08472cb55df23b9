import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { run } from '../../src/host/run.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { auditBundle, auditLines } from './audit.ts';
import { doorbell } from './doorbell.ts';
import { driveExtents, editDrive, flipByteOfDrive, killVm, longestNewRun } from './drives.ts';
import type { Vm } from './harness.ts';

const mib = 2 ** 20;

/** Boots with a stage of the audit, and gives what was new in its logs. */
async function stage(vm: Vm, name: string, networkOptions: string[] = []) {
  const userData = vm.file('user_data.qcow2');
  const staged = stages.has(vm);
  stages.add(vm);
  await editDrive(userData, [...(staged ? ['rm /stage'] : []), 'write stage /stage'], { stage: `${name}\n` });
  const before = { boot: (await vm.log('boot.log')) ?? '', audit: (await auditLines(vm)).length };
  const end = await vm.boot({ hostile: { networkOptions } }).catch((error: unknown) => error as Error);
  return {
    end,
    log: ((await vm.log('boot.log')) ?? '').slice(before.boot.length),
    said: (await auditLines(vm)).slice(before.audit),
  };
}
const stages = new WeakSet<Vm>();

test('the vault outlives a larger drive and a killed VM, and a byte that the host changes reads as an error, never as data', async () => {
  await using work = await workDirectory();
  await using vm = await auditBundle('vault', {
    user: '1000:1000',
    settings: { root_drive_size: '1', allowed_out_ports: '[111]' },
  });
  const drive = vm.file('crypt_root.qcow2');

  const first = await stage(vm, 'first');
  expect(first.end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(first.log).toContain('the vault is new: making it');
  expect(first.said).toContain('vault: 1000:1000, workspace: 1000:1000 755');
  expect(first.said).toContain('the workspace can be written');

  // The drive grows: no other vault, and no other size of it.
  await run('qemu-img', ['resize', '-q', '-f', 'qcow2', drive, '+1G']);
  const before = await driveExtents(drive);
  using bell = await doorbell(work.path, () => void killVm(drive));
  const killed = await stage(vm, 'killed', [bell.networkOption]);
  expect(killed.end).toBeInstanceOf(Error);
  expect(killed.log).not.toContain('the vault is new');
  expect(killed.log).toContain(
    'the root drive is larger than when its vault was made: the vault keeps its size',
  );

  // What the second boot added and is in one piece is the file it wrote: 24 MiB, by dm-integrity cut in two at most.
  const probe = longestNewRun(before, await driveExtents(drive));
  expect(probe.length).toBeGreaterThan(8 * mib);
  await flipByteOfDrive(drive, probe.start + probe.length / 2);

  const read = await stage(vm, 'read');
  expect(read.end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(read.log).toContain('the vault was not closed cleanly and has been repaired');
  expect(read.said).toContain('kept: kept');
  const lines = read.said
    .flatMap((line) => /^lines before the end: (\d+)$/.exec(line)?.[1] ?? [])
    .map(Number);
  expect(lines[0]).toBeGreaterThanOrEqual(3);
  const errors = read.said.flatMap((line) => /^read errors: (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(errors).toEqual([1]);
  expect(read.said).toContain(`blocks read: ${24 * 256 - 1} of ${24 * 256}`);
  expect(read.said).toContain('different lines: 1');
  expect(read.said).toContain('the measured file: 0123456789abcde');
});

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
  expect(fill.log).not.toContain('E55');
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
