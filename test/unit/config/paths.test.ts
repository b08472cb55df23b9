import { describe, expect, it } from 'vitest';
import { resolveOutputPath, resolvePath } from '../../../src/config/index.ts';

const context = (...there: string[]) => ({
  workingDirectory: '/work dir',
  configDirectory: '/etc/cvm',
  home: '/home/ada',
  exists: (path: string) => there.includes(path),
});

describe('resolvePath', () => {
  it('takes the working directory before the file’s own folder', () => {
    expect(resolvePath('a/b', context('/work dir/a/b', '/etc/cvm/a/b'))).toEqual({ path: '/work dir/a/b' });
    expect(resolvePath('a/b', context('/etc/cvm/a/b'))).toEqual({ path: '/etc/cvm/a/b' });
  });

  it('says both places when the path is in neither', () => {
    expect(resolvePath('./a', context())).toEqual({ problem: 'there is no /work dir/a and no /etc/cvm/a' });
  });

  it('says one place where both are the same', () => {
    expect(resolvePath('a', { ...context(), configDirectory: '/work dir' })).toEqual({
      problem: 'there is no /work dir/a',
    });
  });

  it('expands ~ and leaves an absolute path where it is', () => {
    expect(resolvePath('~/x', context('/home/ada/x'))).toEqual({ path: '/home/ada/x' });
    expect(resolvePath('/x/../y', context('/y'))).toEqual({ path: '/y' });
    expect(resolvePath('/x', context('/work dir/x'))).toEqual({ problem: 'there is no /x' });
  });

  it('refuses another account’s home', () => {
    expect(resolvePath('~bob/x', context('/work dir/~bob/x'))).toHaveProperty('problem');
  });
});

describe('resolveOutputPath', () => {
  it('lies in the working directory, there or not', () => {
    expect(resolveOutputPath('target', context())).toEqual({ path: '/work dir/target' });
    expect(resolveOutputPath('~/t', context())).toEqual({ path: '/home/ada/t' });
  });
});
