import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { missingPackages } from '../../../src/host/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'packages-'));
afterAll(() => rmSync(folder, { recursive: true }));

const script = join(import.meta.dirname, '../../../src/host/missing-packages.ts');
const printed = (...files: string[]) => {
  const { stdout, status } = spawnSync(process.execPath, [script, ...files], { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout.split('\n').filter((line) => line !== '');
};

it('prints what the table of tools misses, and nothing else', () => {
  expect(printed()).toEqual(missingPackages());
});

it('adds the packages of a list whose programs are not there', () => {
  const list = join(folder, 'list.txt');
  writeFileSync(
    list,
    '# a comment\n\nshell-package sh  # there\nodd-package no-such-program\n  odd-package also-not-there\n',
  );
  expect(printed(list)).toEqual([...missingPackages(), 'odd-package'].sort());
});
