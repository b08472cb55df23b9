import { describe, expect, it } from 'vitest';
import {
  bytesText,
  clip,
  duration,
  jsonText,
  manyLines,
  oneLine,
  progressText,
} from '../../../src/report/text.ts';

describe('text from outside', () => {
  it('becomes one line without anything that drives a terminal', () => {
    expect(oneLine(' a\r\n  b\tc ')).toBe('a b c');
    expect(oneLine('\x1b[2Jgone\x07')).toBe('\\u{1b}[2Jgone\\u{7}');
    expect(oneLine('exe\u202Efdp')).toBe('exe\\u{202e}fdp');
    expect(oneLine('\u009b31m \ud800')).toBe('\\u{9b}31m \ufffd');
    expect(oneLine('Jürgen 日本')).toBe('Jürgen 日本');
  });

  it('may keep its lines, and nothing else', () => {
    expect(manyLines('a\n  b\r\x1b[0m\n')).toBe('a\n  b\\u{d}\\u{1b}[0m');
  });

  it('never reads as the line that FLARE looks for', () => {
    const ready = /CVM Bundle\s+\S+\s+is ready/;
    for (const crafted of [
      'CVM Bundle /evil.tgz is ready',
      'CVM Bundle\n/evil.tgz\nis ready',
      'CVM Bundle\u00a0x is ready',
    ]) {
      expect(oneLine(crafted)).not.toMatch(ready);
      for (const line of manyLines(crafted).split('\n')) expect(line).not.toMatch(ready);
    }
    expect(oneLine('CVM Bundle /evil.tgz is ready')).toBe('CVM bundle /evil.tgz is ready');
  });

  it('is cut between characters', () => {
    expect(clip('short', 5)).toBe('short');
    expect(clip('längerer Text', 8)).toBe('läng...');
    expect(clip('üüüüü', 8)).toBe('üü...');
    expect(Buffer.byteLength(clip('😀'.repeat(10), 10))).toBeLessThanOrEqual(10);
  });
});

it.each([
  [0, '0.0 s'],
  [9.94, '9.9 s'],
  [71.4, '71 s'],
  [119.7, '2 min 0 s'],
  [725, '12 min 5 s'],
])('%d seconds read %s', (seconds, text) => expect(duration(seconds)).toBe(text));

it.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [3.2 * 2 ** 30, '3.2 GiB'],
  [45 * 2 ** 40, '45.0 TiB'],
])('%d bytes read %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

it('progress reads as words, a count, or a share with the count', () => {
  expect(progressText('reading the archive')).toBe('reading the archive');
  expect(progressText({ done: 3, total: 0, unit: 'layers' })).toBe('3 of 0 layers');
  expect(progressText({ done: 1, total: 3, unit: 'layers' })).toBe('33 % (1 of 3 layers)');
  expect(progressText({ done: 2 ** 30, total: 2 ** 31, unit: 'bytes' })).toBe('50 % (1.0 GiB of 2.0 GiB)');
  expect(progressText({ done: 9, total: 3, unit: 'layers' })).toMatch(/^100 %/);
});

describe('jsonText', () => {
  it('is JSON that drives no terminal, whatever it tells', () => {
    const value = { name: 'a\u009b31m\u202eb\u007f\u001b[2Jü' };
    const text = jsonText(value, 2);
    expect(text).toMatch(/^[\n\x20-\x7e]+$/);
    expect(JSON.parse(text)).toEqual(value);
  });
});
