import { describe, expect, it } from 'vitest';
import { compareVersions, versionIn } from '../../../src/doctor/tool-version.ts';

describe('a version', () => {
  it.each([
    ['qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022', '7.2.22'],
    ['cryptsetup 2.6.1 flags: UDEV BLKID KEYRING KERNEL_CAPI', '2.6.1'],
    ['tar2sqfs (squashfs-tools-ng) 1.2.0', '1.2.0'],
    ['mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0', '1.47.0'],
    ['*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***', '1.5.4'],
    ['BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) multi-call binary.', '1.35.0'],
    ['OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)', '3.0.19'],
    ['flock from util-linux 2.38.1', '2.38.1'],
    ["Debian 'dpkg-deb' package archive backend version 1.21.22 (amd64).", '1.21.22'],
    ['tar (GNU tar) 1.34', '1.34'],
  ])('is found in %j', (text, expected) => expect(versionIn(text)).toBe(expected));

  it.each([
    '',
    'usage: newuidmap <pid> <uid>',
    'ext2 and 3 more',
    'error while loading shared libraries: libzstd.so.1.5: cannot open shared object file',
    '2',
  ])('is not seen in %j', (text) => expect(versionIn(text)).toBeUndefined());
});

describe('versions', () => {
  it.each([
    ['1.9', '1.10', -1],
    ['1.10', '1.9', 1],
    ['2.5', '2.5.0', 0],
    ['2.5.0', '2.5', 0],
    ['2.4.3', '2.5.0', -1],
    ['10.0', '9.99.99', 1],
  ])('%s and %s compare as numbers', (first, second, sign) => {
    expect(Math.sign(compareVersions(first, second))).toBe(sign);
  });
});
