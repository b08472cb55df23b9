import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';
import { readList } from '../../../src/initrd/collect.ts';
import { builtins, commandWords, functionsOf } from '../../support/shell-words.ts';

const busybox = new Set(execFileSync('busybox', ['--list'], { encoding: 'utf8' }).split('\n'));
const applets = (await readList('applets.txt')).flatMap((line) => line.split(/\s+/));
const programs = (await readList('programs.txt')).map((path) => basename(path));

/** Scripts of the initrd, and all functions that any of them defines. */
async function scripts(): Promise<{ files: Map<string, string>; functions: Set<string> }> {
  const library = templatePath('initrd/lib');
  const paths = [templatePath('initrd/init'), ...(await readdir(library)).map((name) => join(library, name))];
  const files = new Map<string, string>();
  for (const path of paths) files.set(basename(path), await readFile(path, 'utf8'));
  const functions = [...files.values()].flatMap(functionsOf);
  return { files, functions: new Set(functions) };
}

describe('the initrd', () => {
  it('names only applets that busybox has, each once', () => {
    expect(applets.filter((name) => !busybox.has(name))).toEqual([]);
    expect(applets.filter((name, index) => applets.indexOf(name) !== index)).toEqual([]);
  });

  it('has every command that its scripts call', async () => {
    const { files, functions } = await scripts();
    const clients = ['kbs-client', 'kbs-sample-client', 'snpguest', 'modprobe'];
    const known = new Set([...applets, ...programs, ...builtins, ...functions, ...clients]);
    const missing: string[] = [];
    let seen = 0;
    for (const [file, text] of files) {
      for (const word of commandWords(text)) {
        seen++;
        if (!known.has(word)) missing.push(`${file}: ${word}`);
      }
    }
    expect(missing).toEqual([]);
    expect(seen).toBeGreaterThan(60);
  });

  it('calls what busybox lacks by its path: its shell would take the applet', async () => {
    const { files } = await scripts();
    const text = [...files.values()].join('\n');
    for (const name of ['mke2fs', 'e2fsck'])
      expect(text).not.toMatch(new RegExp(`(^|[;&|(]) *${name} `, 'm'));
  });
});
