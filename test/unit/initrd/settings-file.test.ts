import { expect, it } from 'vitest';
import { type InitSettings, settingsFile } from '../../../src/initrd/site-part.ts';
import { initSettings } from './init-settings.ts';

it('writes a line a setting, name and quoted value, in the order given', () => {
  const lines = settingsFile(initSettings()).trimEnd().split('\n');
  expect(lines).toHaveLength(Object.keys(initSettings()).length);
  for (const line of lines) expect(line).toMatch(/^[a-z_]+='[^']*'$/);
  expect(lines[0]).toBe("kind='development'");
  expect(lines).toContain("verity_hash_offset='8192'");
});

it('refuses a value that no shell word can hold', () => {
  expect(() => settingsFile({ ...initSettings(), cvm_name: 'a\0b' })).toThrow('NUL');
});

it('leaves nothing unquoted', () => {
  const hostile = { ...initSettings(), kbs_url: "x'; poweroff; '" } satisfies InitSettings;
  expect(settingsFile(hostile)).toContain("kbs_url='x'\\''; poweroff; '\\'''\n");
});
