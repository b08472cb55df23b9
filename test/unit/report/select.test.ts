import { describe, expect, it } from 'vitest';
import { isInteractive, mayColour } from '../../../src/report/select.ts';

const terminal = { isTTY: true, columns: 80 };

describe('a live list', () => {
  it('is drawn on a terminal', () => {
    expect(isInteractive(terminal, { TERM: 'xterm' })).toBe(true);
    expect(isInteractive(terminal, { TERM: 'xterm', CI: 'false', NO_TTY: '' })).toBe(true);
  });

  it.each([
    ['a pipe', {}, {}],
    ['a terminal without a width', { isTTY: true, columns: 0 }, {}],
    ['continuous integration', terminal, { CI: 'true' }],
    ['NO_TTY', terminal, { NO_TTY: '1' }],
    ['a dumb terminal', terminal, { TERM: 'dumb' }],
  ])('is not drawn on %s', (_, stream, env) => expect(isInteractive(stream, env)).toBe(false));
});

it('colours need a terminal and no NO_COLOR', () => {
  expect(mayColour(terminal, {})).toBe(true);
  expect(mayColour(terminal, { NO_COLOR: '' })).toBe(true);
  expect(mayColour(terminal, { NO_COLOR: '1' })).toBe(false);
  expect(mayColour({}, {})).toBe(false);
});
