import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseListing, parseStat, printable } from '../../../src/drives/debugfs-output.ts';

test('a listing is parsed without . and .. and with types told apart', () => {
  const text = [
    '/2/040755/0/0/.//',
    '/2/040755/0/0/..//',
    '/12/100644/0/0/boot.log/10/',
    '/13/040700/0/0/folder//',
    '/14/120777/0/0/link/11/',
    '/15/020644/0/0/null//',
    '/0/000000/0/0/deleted//',
  ].join('\n');
  expect(parseListing(text)).toEqual([
    { name: 'boot.log', inode: 12, kind: 'file', mode: 0o644, size: 10 },
    { name: 'folder', inode: 13, kind: 'folder', mode: 0o700, size: 0 },
    { name: 'link', inode: 14, kind: 'other', mode: 0o777, size: 11 },
    { name: 'null', inode: 15, kind: 'other', mode: 0o644, size: 0 },
  ]);
});

test('names are read as UTF-8', () => {
  const line = Buffer.from('/12/100644/0/0/grüße.log/1/').toString('latin1');
  expect(parseListing(line)[0]?.name).toBe('grüße.log');
});

test('whatever a listing holds, every entry leads to an inode number and a name without a slash', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('/', '\n', '1', '0', 'a', "'", '\u001b') }), (text) => {
      for (const { inode, name } of parseListing(text)) {
        expect(inode).toBeGreaterThan(0);
        expect(name).not.toContain('/');
      }
    }),
  );
});

test('stat without a size counts as too large for any bound', () => {
  expect(parseStat('Inode: 12   Type: character special    Mode:  0644   Flags: 0x0\n')).toEqual({
    type: 'character special',
    size: Number.POSITIVE_INFINITY,
  });
  expect(parseStat('').type).toBe('unknown');
});

test('a printable name cannot drive a terminal', () => {
  expect(printable('a\u001b[2J\n\u202eb')).toBe('a?[2J??b');
});
