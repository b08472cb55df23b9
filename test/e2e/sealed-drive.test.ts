import { hash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../src/host/run.ts';
import { workDirectory } from '../../src/host/temp.ts';
import { flipByteOfDrive, overwriteStart } from './drives.ts';
import { copyOfBundle, expectFailedClosed, expectWorkloadEnded } from './harness.ts';

const mib = 2 ** 20;
/** The LUKS2 header on the drive; the one used lies in the initrd. */
const headerBytes = 2 * mib;

test('one byte changed in the sealed data stops the boot', async () => {
  await using vm = await copyOfBundle();
  await flipByteOfDrive(vm.file('crypt_root.qcow2'), headerBytes + 20 * mib + 5);
  const end = await vm.boot({ hostile: {} });
  await expectFailedClosed(vm, end, 'E43', /^the seal of the root drive is broken/);
  // The key was released: it is the seal alone that holds.
  expect(end.requests?.released).toBe(1);
});

test('a LUKS header with a null cipher is not used', async () => {
  await using vm = await copyOfBundle();
  const header = await nullCipherHeader(vm.file('crypt_root.qcow2'));
  await overwriteStart(vm.file('crypt_root.qcow2'), header);
  await expectWorkloadEnded(vm, await vm.boot());
});

/**
 * The drive's own header with another cipher: the disk key opens its keyslot, and what it then encrypts nothing with is
 * anything the host likes (CVE-2025-59054). LUKS2 on-disk format, sections 2.1 and 3: a binary header of 4096 bytes, JSON up to
 * the header's size, SHA-256 over both with the checksum's own bytes zero; a second copy follows.
 */
async function nullCipherHeader(drive: string): Promise<Buffer> {
  await using work = await workDirectory();
  const file = join(work.path, 'header');
  await run('qemu-img', [
    'dd',
    '-f',
    'qcow2',
    '-O',
    'raw',
    `bs=${mib}`,
    'count=2',
    `if=${drive}`,
    `of=${file}`,
  ]);
  const header = await readFile(file);
  const size = Number(header.readBigUInt64BE(luks2.headerSize));
  for (const copy of [header.subarray(0, size), header.subarray(size, 2 * size)]) {
    const area = copy.subarray(luks2.json);
    const json = JSON.parse(area.toString('utf8', 0, area.indexOf(0)));
    json.segments['0'].encryption = 'cipher_null-ecb';
    area.fill(0);
    area.write(JSON.stringify(json));
    const checksum = copy.subarray(luks2.checksum, luks2.checksum + 64).fill(0);
    hash('sha256', copy, 'buffer').copy(checksum);
  }
  await writeFile(file, header);
  expect(await run('cryptsetup', ['luksDump', '--disable-locks', file])).toMatch(/cipher: +cipher_null-ecb/);
  return header;
}

/** Offsets in a LUKS2 header, bytes; numbers are big-endian. */
const luks2 = { headerSize: 8, checksum: 448, json: 4096 } as const;
