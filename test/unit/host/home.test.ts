import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { homeFolder, ownHomeFolder } from '../../../src/host/home.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the home folder', () => {
  it('is what HOME says', () => {
    vi.stubEnv('HOME', '/home/ada');
    expect(homeFolder()).toBe('/home/ada');
    expect(ownHomeFolder()).toBe('/home/ada');
  });

  it.each([undefined, '', 'relative', '~'])('is that of the account where HOME is %j', (home) => {
    vi.stubEnv('HOME', home);
    expect(homeFolder()).toBe(userInfo().homedir);
    expect(ownHomeFolder()).toBe(userInfo().homedir);
  });

  it.runIf(process.getuid?.() === 0)('of another account is not one for root to keep files in', () => {
    const folder = mkdtempSync(join(tmpdir(), 'home-'));
    vi.stubEnv('HOME', folder);
    expect(ownHomeFolder()).toBe(folder);
    chownSync(folder, 65_534, 65_534);
    expect(ownHomeFolder()).toBe(userInfo().homedir);
    expect(homeFolder()).toBe(folder);
    rmSync(folder, { recursive: true });
  });
});
