import { describe, expect, it } from 'vitest';
import {
  causesText,
  loggedCodes,
  logLines,
  parseExplanations,
  readExplanations,
} from '../../../src/inspect/index.ts';

const log = (...lines: string[]) => loggedCodes(lines);

describe('codes of a boot log', () => {
  it('are found in failures and warnings, with their lines', () => {
    expect(log('[0.1] start', '[12.34] E68: not used', '[20] FAILED E35: the KBS gave no key')).toEqual([
      { code: 'E68', first: 2, last: 2, times: 1, fatal: false },
      { code: 'E35', first: 3, last: 3, times: 1, fatal: true },
    ]);
  });

  it('are told once, however often they stand there', () => {
    expect(log(...Array.from({ length: 5000 }, () => '[1.0] E69: the share'))).toEqual([
      { code: 'E69', first: 1, last: 5000, times: 5000, fatal: false },
    ]);
  });

  it.each([
    ['words of the workload', 'E35: the KBS gave no key'],
    ['a code in the middle of a line', '[1.0] the workload says FAILED E35: no'],
    ['what only looks like a code', '[1.0] E350: x'],
    ['a line without a time', 'FAILED E35: x'],
  ])('are not taken from %s', (_, line) => expect(log(line)).toEqual([]));

  it('end with what the VM ended with', () => {
    expect(log('[1] E55: x', '[2] E68: y', '[3] E55: x').map(({ code }) => code)).toEqual(['E68', 'E55']);
  });
});

describe('explanations', () => {
  it('are those of docs/troubleshooting.md, as plain text', async () => {
    const found = await readExplanations();
    expect(found.get('E35')).toMatchObject({
      title: 'the KBS gave no key',
      text: expect.stringMatching(/^No key in all/),
    });
    for (const { title, text } of found.values()) {
      expect(title).not.toBe('');
      expect(text).not.toBe('');
      expect(text).not.toMatch(/\]\(|\*\*|^#/m);
    }
  });

  it('end at the next heading', () => {
    const found = parseExplanations(
      '# A\n### E10: one\n\nfirst\n\n## Other\n\nnot here\n### E11: two\nsecond',
    );
    expect([...found.values()].map(({ text }) => text)).toEqual(['first', 'second']);
  });

  it('are shown with file and lines; an unknown code is not', async () => {
    const text = causesText(
      'boot.log',
      log('[1] FAILED E43: broken', '[2] E99: ?'),
      await readExplanations(),
    );
    expect(text).toMatch(
      /^E43: the seal of the root drive is broken \(boot\.log, line 1; the VM stopped\)\n\n {2}A byte/,
    );
    expect(text).not.toContain('E99');
  });
});

describe('logLines', () => {
  it('gives each line without its end, and a last one that has none', () => {
    expect([...logLines(Buffer.from('a\n\nb\r\nc'))]).toEqual(['a', '', 'b\r', 'c']);
  });

  it('takes what is no UTF-8', () => expect([...logLines(Buffer.from([0xff, 0x0a]))]).toEqual(['\ufffd']));
});
