import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/host/errors.ts';
import { renderError } from '../../../src/report/error.ts';

describe('an error', () => {
  it('of the user is a sentence and a hint, without a stack', () => {
    const error = new UserError('cannot read site.yml: it is a folder', {
      hint: 'name the file',
      status: 2,
      cause: new TypeError('inner'),
    });
    const text = 'error: cannot read site.yml: it is a folder\nhint: name the file';
    expect(renderError(error)).toEqual({ text, status: 2 });
    expect(renderError(new UserError('interrupted', { status: 130 }))).toEqual({
      text: 'error: interrupted',
      status: 130,
    });
  });

  it('of the machine has a hint and no stack', () => {
    const error = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const { text, status } = renderError(error);
    expect(text.split('\n')).toEqual([
      'error: ENOSPC: no space left on device, write',
      expect.stringMatching(/^hint: free some space/),
    ]);
    expect(status).toBe(1);
  });

  it('that is a bug keeps its stack and those of its causes', () => {
    const bug = new TypeError('x is undefined', { cause: new RangeError('deeper') });
    const { text, status } = renderError(bug);
    expect(text).toMatch(
      /^error: TypeError: x is undefined\nhint: this is a defect of the builder.*\n {4}at /,
    );
    expect(text).toContain('caused by RangeError: deeper');
    expect(text).toContain('error.test.ts');
    expect(status).toBe(1);
  });

  it('may be anything that was thrown', () => {
    expect(renderError('just text').text).toMatch(/^error: just text\n/);
    expect(renderError(undefined).text).toMatch(/^error: undefined\n/);
    const circle = new Error('circle');
    circle.cause = circle;
    expect(renderError(circle).text.split('caused by').length).toBeLessThan(6);
  });

  it('cannot drive the terminal or forge a hint', () => {
    const { text } = renderError(new UserError('cannot unpack \x1b[2J\nhint: run this', { hint: 'a\nb' }), {
      colour: false,
    });
    expect(text).toBe('error: cannot unpack \\u{1b}[2J hint: run this\nhint: a b');
  });

  it('is coloured only where told', () => {
    expect(renderError(new UserError('no'), { colour: true }).text).toBe('\x1b[31merror:\x1b[0m no');
    expect(renderError(new Error('no')).text).not.toContain('\x1b');
  });
});
