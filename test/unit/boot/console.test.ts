import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsoleReader } from '../../../src/boot/console.ts';

function linesOf(...chunks: (string | Buffer)[]): string[] {
  const lines: string[] = [];
  const reader = new ConsoleReader((line) => lines.push(line));
  for (const chunk of chunks) reader.push(Buffer.from(chunk));
  reader.end();
  return lines;
}

describe('ConsoleReader', () => {
  it('joins chunks to lines and gives the unfinished last one at the end', () => {
    expect(linesOf('a', 'b\nc', '\n\nd')).toEqual(['ab', 'c', '', 'd']);
    expect(linesOf('a\r\nb\r\n')).toEqual(['a', 'b']);
    expect(linesOf()).toEqual([]);
  });

  it.each([
    ['colours', '\u001b[1;31mred\u001b[0m', 'red'],
    ['cursor movements and erasing', '\u001b[2J\u001b[01;01Htop\u001b[K', 'top'],
    ['private modes', '\u001b[?25lx\u001b[?7h', 'x'],
    ['character sets', '\u001b(0lines\u001b)B', 'lines'],
    ['a reset', '\u001bcx', 'x'],
    ['back spaces, bells and carriage returns', 'a\b\u0007b\rc', 'abc'],
    ['one-byte controls of the upper half', 'a\u009b31mb', 'a31mb'],
  ])('takes %s out', (_, text, plain) => {
    expect(linesOf(`${text}\n`)).toEqual([plain]);
  });

  it('keeps tabs and text of any script', () => {
    expect(linesOf('a\tb ü 日本 😀\n')).toEqual(['a\tb ü 日本 😀']);
  });

  it('puts a character together that two chunks share', () => {
    const bytes = Buffer.from('ü日😀\n');
    for (let cut = 1; cut < bytes.length; cut++)
      expect(linesOf(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(['ü日😀']);
  });

  it('puts an escape sequence together that two chunks share', () => {
    const text = 'a\u001b[1;31mb\n';
    for (let cut = 1; cut < text.length; cut++)
      expect(linesOf(text.slice(0, cut), text.slice(cut))).toEqual(['ab']);
  });

  it('bounds a line that never ends and keeps its end', () => {
    const lines = linesOf(...Array.from({ length: 64 }, () => 'x'.repeat(4096)), 'END');
    expect(lines).toHaveLength(1);
    expect(lines[0]!.length).toBeLessThanOrEqual(8192);
    expect(lines[0]).toMatch(/END$/);
  });

  it('lets no control character through, whatever the guest prints', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
        for (const line of linesOf(...chunks.map((chunk) => Buffer.from(chunk))))
          expect(line).not.toMatch(/[^\P{Cc}\t]/u);
      }),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('\u001b', '[', '(', '3', '1', 'm', ';', '\u009b', 'x') }),
        (text) => {
          for (const line of linesOf(text)) expect(line).not.toMatch(/[^\P{Cc}\t]/u);
        },
      ),
    );
  });
});
