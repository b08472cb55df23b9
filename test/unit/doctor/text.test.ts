import { describe, expect, it } from 'vitest';
import type { CheckGroup, Result } from '../../../src/doctor/check.ts';
import { renderJson } from '../../../src/doctor/json.ts';
import { isUsable, packagesToInstall, renderText } from '../../../src/doctor/text.ts';

const groups: CheckGroup[] = [
  { id: 'tools', title: 'Host tools', checks: [] },
  { id: 'machine', title: 'Machine', checks: [] },
  { id: 'empty', title: 'Nothing', checks: [] },
];
const result = (fields: Partial<Result>): Result => ({
  id: 'tools.x',
  group: 'tools',
  title: 'x',
  status: 'ok',
  says: '1.0',
  ...fields,
});

describe('the text', () => {
  it('has a line for each check below its group, aligned, with hints and a verdict', () => {
    const results = [
      result({ title: 'short', hint: 'not shown, all is well' }),
      result({ title: 'a longer one', status: 'problem', says: 'gone', hint: 'do it', packages: ['b', 'a'] }),
      result({
        title: 'mid',
        status: 'warning',
        says: 'old',
        details: ['line 1', 'line 2'],
        packages: ['a'],
      }),
      result({ group: 'machine', title: 'kvm', status: 'info', says: 'none' }),
    ];
    expect(renderText(groups, results).split('\n')).toEqual([
      'Host tools',
      '  ok       short         1.0',
      '  problem  a longer one  gone',
      '           hint: do it',
      '  warning  mid           old',
      '           line 1',
      '           line 2',
      '',
      'Machine',
      '  info     kvm           none',
      '',
      'not usable: 1 problem, 1 warning',
      'hint: "cvm doctor --fix" runs: apt-get install a b',
    ]);
  });

  it('has no colours unless they are wanted', () => {
    const results = [result({ status: 'problem' })];
    expect(renderText(groups, results)).not.toContain('\x1b');
    expect(renderText(groups, results, { colour: true })).toContain('\x1b[31mproblem\x1b[0m');
  });

  it('keeps text from outside on its line, and from the terminal', () => {
    const says = 'first\nsecond \x1b[2J \u202e';
    const text = renderText(groups, [result({ status: 'warning', says, details: [says], hint: says })]);
    expect(text.split('\n')).toHaveLength(6);
    expect(text).not.toContain('\x1b');
    expect(text).not.toContain('\u202e');
  });
});

describe('the verdict', () => {
  it('is usable with warnings', () => {
    const results = [result({}), result({ status: 'warning' }), result({ status: 'info' })];
    expect(isUsable(results)).toBe(true);
    expect(renderText(groups, results)).toMatch(/^usable: 0 problems, 1 warning$/m);
  });
  it('is not usable with a problem', () => expect(isUsable([result({ status: 'problem' })])).toBe(false));
});

it('packages are named once, in order', () => {
  const results = [result({ packages: ['b'] }), result({ packages: ['a', 'b'] }), result({})];
  expect(packagesToInstall(results)).toEqual(['a', 'b']);
});

it('JSON is one line, escapes what the text would, and holds no hint of what is well', () => {
  const text = renderJson([result({ says: 'a\nb', hint: 'h' }), result({ status: 'problem', hint: 'h' })]);
  expect(text).not.toContain('\n');
  const { checks, usable, version } = JSON.parse(text);
  expect([usable, version]).toEqual([false, 1]);
  expect(checks[0]).toEqual({
    id: 'tools.x',
    group: 'tools',
    title: 'x',
    status: 'ok',
    says: 'a\nb',
    facts: {},
  });
  expect(checks[1].hint).toBe('h');
});
