import { expect, it } from 'vitest';
import { failures } from '../../report/failures.ts';

const report = {
  testResults: [
    {
      name: '/repo/test/a.test.ts',
      status: 'failed',
      assertionResults: [
        { status: 'passed', fullName: 'good' },
        { status: 'failed', fullName: 'set bad', failureMessages: ['\x1b[31mError\x1b[0m: no\n  at a.ts:1'] },
      ],
    },
    { name: '/repo/test/b.test.ts', status: 'failed', message: 'Error: a hook threw', assertionResults: [] },
    { name: '/repo/test/c.test.ts', status: 'passed', assertionResults: [{ status: 'passed' }] },
  ],
};

it('names each failed test and each file that failed as a whole, with what it said', () => {
  expect(failures(report, '/repo')).toEqual([
    'test/a.test.ts: set bad\n    Error: no\n      at a.ts:1',
    'test/b.test.ts\n    Error: a hook threw',
  ]);
});

it('says where there is no report', () => {
  expect(failures(undefined, '/repo')).toEqual(['there is no report']);
});

it('keeps a long message short', () => {
  const long = { name: 'd', status: 'failed', message: 'x\n'.repeat(100), assertionResults: [] };
  expect(failures({ testResults: [long] }, '/repo')[0]!.split('\n')).toHaveLength(16);
});
