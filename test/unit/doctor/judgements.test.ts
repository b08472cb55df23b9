import { describe, expect, it } from 'vitest';
import { isX86Program } from '../../../src/doctor/builder-file.ts';
import { judgeSpace, mountOptions } from '../../../src/doctor/folders.ts';
import { judgeContact } from '../../../src/doctor/key-broker.ts';
import { judgeClock, judgeSnp } from '../../../src/doctor/machine.ts';
import { judgeSuites } from '../../../src/doctor/sources.ts';

describe('free space', () => {
  const need = { least: 1000, good: 2000 };
  it.each([
    [999, 'problem'],
    [1000, 'warning'],
    [1999, 'warning'],
    [2000, 'ok'],
  ])('of %i bytes is a %s', (free, status) => expect(judgeSpace(free, need).status).toBe(status));
});

describe('the mount of a folder', () => {
  const mountinfo = [
    '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '30 21 0:25 / /tmp rw,nosuid,nodev,noexec shared:2 - tmpfs tmpfs rw',
    '31 21 0:26 / /mnt/a\\040b rw,nodev shared:3 - tmpfs tmpfs rw',
    '32 21 0:27 / /stacked rw,noexec - tmpfs tmpfs rw',
    '33 32 0:28 / /stacked rw - tmpfs tmpfs rw',
    '',
  ].join('\n');
  it.each([
    ['/tmp', ['rw', 'nosuid', 'nodev', 'noexec']],
    ['/tmp/x/y', ['rw', 'nosuid', 'nodev', 'noexec']],
    ['/tmpfiles', ['rw', 'relatime']],
    ['/mnt/a b/c', ['rw', 'nodev']],
    ['/stacked', ['rw']],
  ])('%s has the options of the nearest one', (folder, options) => {
    expect(mountOptions(mountinfo, folder)).toEqual(options);
  });
});

describe('the clock', () => {
  const now = Date.parse('2026-03-01T00:00:00Z');
  it('is right where no file is younger', () => expect(judgeClock(now, [now - 1, 0]).status).toBe('ok'));
  it('may be off by a few seconds', () => expect(judgeClock(now, [now + 5_000]).status).toBe('ok'));
  it('is behind where a file is younger', () => {
    expect(judgeClock(now, [now + 86_400_000 * 3])).toMatchObject({
      status: 'problem',
      says: expect.stringMatching(/3 days/),
    });
  });
});

describe('SEV-SNP', () => {
  it.each([
    ['Y\n', true, 'ok', /can start production bundles/],
    ['1\n', true, 'ok', /can start/],
    ['Y\n', false, 'info', /no \/dev\/sev/],
    ['N\n', true, 'info', /sev_snp off/],
    [undefined, false, 'info', /not loaded/],
  ])('with the parameter %j and a device: %s is %s, never a failure', (parameter, device, status, says) => {
    const outcome = judgeSnp(parameter, device);
    expect(outcome.status).toBe(status);
    expect(outcome.says).toMatch(says);
  });
});

describe('suites of apt', () => {
  const bookworm = { origin: 'Debian', codename: 'bookworm' };
  it('of Debian will do', () => expect(judgeSuites([bookworm], undefined).status).toBe('ok'));
  it('of third parties alone will not', () => {
    expect(judgeSuites([{ origin: 'Docker', codename: 'bookworm' }], undefined).status).toBe('problem');
  });
  it('must hold the one that base.suite names', () => {
    expect(judgeSuites([bookworm], 'trixie')).toMatchObject({ status: 'problem' });
    expect(judgeSuites([bookworm], 'trixie').says).toMatch(/no suite trixie.*they have bookworm/);
    expect(judgeSuites([bookworm], 'bookworm').status).toBe('ok');
  });
});

describe('the key broker', () => {
  const bad = [{ id: 'connection', severity: 'bad', what: 'x' }] as const;
  it('that is down is a problem to a build that pushes, and a warning to others', () => {
    expect(judgeContact(bad, 'refused', true).status).toBe('problem');
    expect(judgeContact(bad, 'refused', false).status).toBe('warning');
  });
  it.each([
    'wrong-ca',
    'expired-certificate',
    'wrong-name',
  ])('with the fault %s is a problem to all', (failure) => {
    expect(judgeContact(bad, failure, false).status).toBe('problem');
  });
  it('is judged by its gravest finding', () => {
    const ok = { id: 'connection', severity: 'ok', what: 'fine' } as const;
    const warn = { id: 'clock', severity: 'warn', what: 'late', remedy: 'set it' } as const;
    expect(judgeContact([ok, warn], undefined, true)).toEqual({
      status: 'warning',
      says: 'late',
      hint: 'set it',
    });
    expect(judgeContact([ok], undefined, true).status).toBe('ok');
  });
});

describe('a program for the CVM', () => {
  const header = (change: (bytes: Buffer) => void = () => {}) => {
    const bytes = Buffer.alloc(20);
    bytes.writeUInt32BE(0x7f454c46, 0);
    bytes.set([2, 1], 4);
    bytes.writeUInt16LE(3, 16);
    bytes.writeUInt16LE(62, 18);
    change(bytes);
    return bytes;
  };
  it('is an ELF program for x86-64', () => expect(isX86Program(header())).toBe(true));
  it.each<[string, Buffer]>([
    ['an AArch64 one', header((bytes) => bytes.writeUInt16LE(183, 18))],
    ['a 32-bit one', header((bytes) => bytes.set([1], 4))],
    ['an object file', header((bytes) => bytes.writeUInt16LE(1, 16))],
    ['a script', Buffer.from('#!/bin/sh\nexit 0 #---')],
    ['an empty file', Buffer.alloc(0)],
  ])('is not %s', (_, bytes) => expect(isX86Program(bytes)).toBe(false));
});
