import { closeSync, openSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { asBuilt, plantAtHandOver } from './audit.ts';
import { driveExtents } from './drives.ts';
import { type Boot, copyOfBundle, expectNoWorkload, type Vm } from './harness.ts';

/** The whole seal has been checked by then; what is read from here on is checked block by block. */
const handedOver = 'handing over to the sealed system';

/** The last line, unless the drive went so early that InitApp itself could not read the sealed system. */
const stoppedAtHandOver =
  /\] handing over to the sealed system\n(\[[\d.]+\] FAILED E46: .*\n\[[\d.]+\] powering off\n)?$/;

test('sealed data that changes after it was checked stops the VM before the workload', async () => {
  await using vm = await copyOfBundle();
  const drive = vm.file('crypt_root.qcow2');
  const extents = await driveExtents(drive);
  const end = await vm.boot({
    hostile: {},
    onConsole: (line) => {
      if (line.includes(handedOver)) spoil(drive, extents);
    },
  });
  expect(end.console.join('\n')).toMatch(/device-mapper: verity: .* is corrupted/);
  await expectStopped(vm, end);
});

test('sealed data that cannot be read after the hand-over stops the VM before the workload', async () => {
  await using vm = await copyOfBundle();
  await using work = await workDirectory();
  const control = join(work.path, 'control');
  const end = await vm.boot({
    hostile: { extraArguments: ['-qmp', `unix:${control},server=on,wait=off`] },
    onConsole: (line) => {
      if (line.includes(handedOver)) cutOff(control);
    },
  });
  expect(end.console.join('\n')).toMatch(/I\/O error/);
  await expectStopped(vm, end);
});

test('a lock-down that fails powers the VM off before the workload', async () => {
  await using vm = await copyOfBundle();
  // As a read error would do it: the unit's program is no program.
  await plantAtHandOver(vm, [': > run/unreadable', 'mount --bind run/unreadable usr/lib/cvm/lock']);
  const end = await vm.boot({ hostile: asBuilt(vm) });
  await expectStopped(vm, end);
});

async function expectStopped(vm: Vm, end: Boot): Promise<void> {
  expect(end.end).toBe('powered-off');
  expect(end.verdict?.result).not.toBe('ok');
  expect(await vm.log('boot.log')).toMatch(stoppedAtHandOver);
  await expectNoWorkload(vm, end);
}

/** Overwrites every block behind the LUKS header, while QEMU has the drive open. */
function spoil(drive: string, extents: Awaited<ReturnType<typeof driveExtents>>): void {
  const file = openSync(drive, 'r+');
  const garbage = Buffer.alloc(4096, 0x5a);
  for (const { start, length, offset } of extents) {
    for (let at = 0; at < length; at += 4096) {
      if (start + at >= 2 ** 21) writeSync(file, garbage, 0, Math.min(4096, length - at), offset + at);
    }
  }
  closeSync(file);
}

/** Makes the drive as short as its header: each read of what was behind it is an I/O error from then on. */
function cutOff(control: string): void {
  const commands = [
    { execute: 'qmp_capabilities' },
    { execute: 'block_resize', arguments: { device: 'rootfs', size: 2 ** 21 } },
  ];
  const socket = connect(control).on('error', () => {});
  socket.write(commands.map((command) => `${JSON.stringify(command)}\n`).join(''));
  socket.resume().unref();
}
