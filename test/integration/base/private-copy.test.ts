import { execFile, execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { templatePath } from '../../../src/host/template.ts';
import { smallBase } from './small-base.ts';

/*
 * A base whose programs are keyctl and what it loads, with busybox for a shell: what the image's programs can see of the caller.
 */

const keyctl = execFileSync('sh', ['-c', 'command -v keyctl'], { encoding: 'utf8' }).trim();
let base: Awaited<ReturnType<typeof smallBase>>;

beforeAll(async () => {
  const libraries = execFileSync('ldd', [keyctl], { encoding: 'utf8' }).match(/\/\S+/g)!;
  const files = await Promise.all(
    [...libraries, keyctl].map(async (path) => [path.slice(1), await readFile(path)] as const),
  );
  base = await smallBase({ ...Object.fromEntries(files), 'bin/sh': await readFile('/usr/bin/busybox') });
  execFileSync('sh', [
    '-c',
    'cd "$1" && chmod -R 755 tree && gensquashfs -q -f -D tree base.squashfs',
    'sh',
    join(base.image, '..'),
  ]);
});
afterAll(() => base[Symbol.asyncDispose]());

/** Runs a script in a copy of the base, as a caller whose session keyring holds a key. */
async function inside(script: string): Promise<string> {
  const caller = `
    import { readFileSync } from 'node:fs';
    import { PrivateCopy } from '${join(projectRoot, 'src/base/check/private-copy.ts')}';
    await using copy = await PrivateCopy.unpack(process.argv[1]);
    const enter = readFileSync(process.argv[2], 'utf8');
    const output = await copy.runInside(enter, process.argv[3], {}).catch((error) => error.all ?? error.message);
    console.log(output);`;
  const node = [process.execPath, '--input-type=module', '-e', caller, base.image];
  const all = [...node, join(templatePath('base'), 'enter.sh'), script];
  const withKey = 'echo the key: $(keyctl add user cvm-test-key of-the-caller @s); exec "$@"';
  const { stdout } = await promisify(execFile)('keyctl', ['session', '-', 'sh', '-c', withKey, 'sh', ...all]);
  expect(stdout).toMatch(/^the key: \d+\n/);
  return stdout.replace(/^.*\n/, '');
}

it('shows programs of the image no key of the caller’s session', async () => {
  const seen = await inside(`${keyctl} show @s; ${keyctl} print %user:cvm-test-key 2>&1; echo end`);
  expect(seen).toMatch(/keyring: _ses\n/);
  expect(seen).toMatch(/Can't find 'user:cvm-test-key'\nend\n$/);
  expect(seen).not.toMatch(/: cvm-test-key|of-the-caller/);
});
