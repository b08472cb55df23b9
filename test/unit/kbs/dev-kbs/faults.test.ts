import { describe, expect, test } from 'vitest';
import { Faults } from '../../../../src/kbs/dev-kbs/faults/fault.ts';
import { parseFault } from '../../../../src/kbs/dev-kbs/faults/parse.ts';

describe('a fault on the command line', () => {
  test.each([
    ['slow=500', { kind: 'slow', milliseconds: 500 }],
    ['401', { kind: '401' }],
    ['500,first=2', { kind: '500', first: 2 }],
    ['drop,path=resource/', { kind: 'drop', path: /resource\// }],
    [
      'drop-answer,first=1,path=^POST .*a{1,2},first=3$',
      { kind: 'drop-answer', first: 1, path: /^POST .*a{1,2},first=3$/ },
    ],
    ['stale-nonce', { kind: 'stale-nonce' }],
  ])('%j', (text, fault) => {
    expect(parseFault(text)).toEqual(fault);
  });

  test.each([
    '',
    '404',
    'slow',
    'slow=',
    '401=5',
    'drop,first=',
    'drop,path=(',
    'drop,other=1',
    'constructor',
  ])('%j is refused', (text) => {
    expect(() => parseFault(text)).toThrow(/^cannot use the fault /);
  });
});

describe('faults befall', () => {
  const kinds = (faults: Faults, request: string) => {
    const [method, path] = request.split(' ') as [string, string];
    return faults.take(method, path).map(({ kind }) => kind);
  };

  test('every request, unless told otherwise', () => {
    const faults = new Faults([{ kind: '500' }]);
    for (let count = 0; count < 3; count += 1) expect(kinds(faults, 'GET /a')).toEqual(['500']);
  });

  test('the first matching ones, each fault with a count of its own', () => {
    const faults = new Faults([
      { kind: 'slow', milliseconds: 1, first: 1 },
      { kind: '401', first: 2, path: /^POST/ },
    ]);
    expect(kinds(faults, 'GET /a')).toEqual(['slow']);
    expect(kinds(faults, 'POST /a')).toEqual(['401']);
    expect(kinds(faults, 'GET /a')).toEqual([]);
    expect(kinds(faults, 'POST /a')).toEqual(['401']);
    expect(kinds(faults, 'POST /a')).toEqual([]);
  });

  test('alike with a pattern that remembers where it stopped', () => {
    const faults = new Faults([{ kind: '401', path: /auth/g }]);
    expect(kinds(faults, 'POST /auth')).toEqual(['401']);
    expect(kinds(faults, 'POST /auth')).toEqual(['401']);
  });
});
