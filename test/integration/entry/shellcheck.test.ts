import { expect, it } from 'vitest';
import { shellcheck, shellScripts } from '../../report/shell-scripts.ts';

const scripts = shellScripts();

it('finds the entry scripts', () => {
  const entries = [
    'cvm_build.sh',
    'bin/cvm',
    'bin/lib/install-packages',
    'bin/lib/setup.sh',
    'test/run',
    '.ci/run',
  ];
  expect(scripts).toEqual(expect.arrayContaining(entries));
});

it.each(scripts)('shellcheck has nothing to say about %s', (script) => {
  expect(shellcheck(script)).toBe('');
});
