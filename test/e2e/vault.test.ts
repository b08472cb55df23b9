import { expect, test } from 'vitest';
import { run } from '../../src/host/run.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { auditBundle } from './audit.ts';
import { doorbell } from './doorbell.ts';
import { driveExtents, flipByteOfDrive, killVm, longestNewRun } from './drives.ts';
import { stage } from './vault-stage.ts';

const mib = 2 ** 20;

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
