import { describe, expect, it } from 'vitest';
import { cut } from '../../../../src/drives/files/copy/in.ts';
import { modeText } from '../../../../src/drives/files/list.ts';
import { partsOf } from '../../../../src/drives/files/place.ts';
import { requireShare } from '../../../../src/drives/files/share.ts';
import { quoted, unusableWord } from '../../../../src/drives/files/write/debugfs-script.ts';

describe('a command of debugfs', () => {
  it('holds a name with blanks and quotes as one word', () => {
    expect(quoted('a "b" c')).toBe('"a ""b"" c"');
  });

  it.each(['a\nrm x', 'a\rb', 'a\0b', 'a\tb', 'a\x7fb', ''])('never holds the name %j', (name) => {
    expect(unusableWord(name)).toBeTypeOf('string');
  });

  it('takes bytes that are no ASCII', () => {
    expect(unusableWord(Buffer.from('Größe 数').toString('latin1'))).toBeUndefined();
  });
});

describe('a path on a drive', () => {
  it('is taken apart into byte strings', () => {
    expect(partsOf('/a//./ü/')).toEqual(['a', 'Ã¼']);
  });

  it('never goes up', () => {
    expect(() => partsOf('/a/../b')).toThrow('goes up');
  });
});

describe('ranges of a file', () => {
  it('are cut after so many blocks, holes not counted', () => {
    const ranges = [
      { first: 0, end: 4 },
      { first: 10, end: 20 },
    ];
    expect(cut(ranges, 6)).toEqual({
      now: [
        { first: 0, end: 4 },
        { first: 10, end: 12 },
      ],
      later: [{ first: 12, end: 20 }],
    });
    expect(cut(ranges, 14)).toEqual({ now: ranges, later: [] });
  });
});

describe('permissions', () => {
  it.each([
    [0x8000, 0o644, '-rw-r--r--'],
    [0x4000, 0o1777, 'drwxrwxrwt'],
    [0x8000, 0o4751, '-rwsr-x--x'],
    [0x8000, 0o2644, '-rw-r-Sr--'],
    [0xa000, 0o777, 'lrwxrwxrwx'],
  ])('of type %i and mode %i read as ls writes them', (type, mode, text) => {
    expect(modeText(type, mode)).toBe(text);
  });
});

describe('an NFS share', () => {
  it.each([
    'nfs-server.example.com:/training_data',
    '192.0.2.7:/srv/data/site-1',
    '[2001:db8::7]:/srv/data',
    'nas:/',
    `nas:/${'d'.repeat(1019)}`,
  ])('%s is taken', (share) => {
    expect(() => requireShare(share)).not.toThrow();
  });

  it.each([
    '',
    'nas',
    'nas:data',
    'nas:/data rw',
    'nas:/data,exec',
    '-overs=3:/data',
    'nas:/data\n',
    'nas:/data\nnas:/b',
    'root@nas:/data',
    'nas:/data/../secret',
    'nas:/data/..',
    'nas:/$(reboot)',
    `nas:/${'d'.repeat(1020)}`,
  ])('%j is refused, as the VM would', (share) => {
    expect(() => requireShare(share)).toThrow('cannot use the share');
  });
});
