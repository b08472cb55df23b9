import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  cp,
  link,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readStartupKit } from '../../../src/drives/index.ts';
import { shellQuote, templatePath } from '../../../src/host/template.ts';

/**
 * The comparison that InitApp makes, by its own shell, of a copy of the kit in all the states that a host can bring about.
 * The list is the one that a build seals.
 */
let folder: string;
let sealed: string;
let copy: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'user-config-test-'));
  const kit = join(folder, 'kit');
  await mkdir(join(kit, 'startup'), { recursive: true });
  await mkdir(join(kit, 'local/empty'), { recursive: true });
  await writeFile(join(kit, 'startup/sub_start.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(kit, 'startup/client.key'), 'the private key', { mode: 0o600 });
  await writeFile(join(kit, 'local/privacy.json'), '{}');
  await writeFile(join(kit, "local/a 'name' with \\ blanks & ünï"), 'text');
  await mkdir(join(folder, 'work'));
  const read = await readStartupKit({
    folders: { nvflare: kit },
    editable: ['nvflare/local/privacy.json'],
    plain: ['nvflare/local/'],
    workDirectory: join(folder, 'work'),
  });
  sealed = join(folder, 'user_config.list');
  await writeFile(sealed, read.sealedList);
});
afterAll(() => rm(folder, { recursive: true }));

let count = 0;
beforeEach(async () => {
  copy = join(folder, `copy-${++count}`);
  await cp(join(folder, 'work/plain'), copy, { recursive: true });
});

const path = (name: string) => join(copy, 'nvflare', name);

/** What InitApp says: `whole`, or the code and the words it ends the boot with. */
function verdict(): string {
  const script = [
    // As in the initrd: the one way out, after which nothing goes on.
    'fail() { echo "$1: $2"; kill -KILL $$; }',
    `. ${shellQuote(templatePath('initrd/lib/user-config.sh'))}`,
    `found_list=${shellQuote(join(folder, 'found'))}`,
    `compare_with_seal ${shellQuote(copy)} ${shellQuote(sealed)}`,
    'echo whole',
  ];
  const { stdout, stderr } = spawnSync('busybox', ['sh', '-uc', script.join('\n')], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    timeout: 30_000,
  });
  expect(stderr).toBe('');
  return stdout.trimEnd();
}

describe('the copy of user_config in RAM', () => {
  it('is whole where it is what the build sealed', () => {
    expect(verdict()).toBe('whole');
  });

  it('is whole with another content of an editable file', async () => {
    await writeFile(path('local/privacy.json'), '{"policy": "ours"}');
    expect(verdict()).toBe('whole');
  });

  const name = 'nvflare/startup/sub_start.sh';
  it.each([
    ['a changed file', () => appendFile(path('startup/sub_start.sh'), '#'), name],
    ['another mode', () => chmod(path('startup/sub_start.sh'), 0o777), name],
    ['a set-id bit', () => chmod(path('startup/sub_start.sh'), 0o4755), name],
    ['a missing file', () => rm(path('startup/sub_start.sh')), name],
    ['a missing editable file', () => rm(path('local/privacy.json')), 'nvflare/local/privacy.json'],
    ['a missing folder', () => rm(path('local/empty'), { recursive: true }), 'nvflare/local/empty'],
    ['another mode of a folder', () => chmod(path('local/empty'), 0o777), 'nvflare/local/empty'],
    ['an added file', () => writeFile(path('local/empty/x.py'), ''), 'nvflare/local/empty/x.py'],
    ['an added hidden file', () => writeFile(path('.pth'), ''), 'nvflare/.pth'],
    ['an added folder', () => mkdir(path('local/custom')), 'nvflare/local/custom'],
    ['an added tree beside the kit', () => mkdir(join(copy, 'other')), 'other'],
    ['a hard link under another name', () => link(path('startup/sub_start.sh'), path('x')), 'nvflare/x'],
    ['a private key', () => writeFile(path('startup/client.key'), 'another'), 'nvflare/startup/client.key'],
    ['a file of another case', () => rename(path('local/empty'), path('local/Empty')), 'nvflare/local/Empty'],
  ])('is refused with %s, which is named', async (_, change, named) => {
    await change();
    expect(verdict()).toBe(`E64: user_config is not what was sealed: ${named}`);
  });

  it('is refused where two files have changed places', async () => {
    await rename(path('startup/sub_start.sh'), path('aside'));
    await rename(path("local/a 'name' with \\ blanks & ünï"), path('startup/sub_start.sh'));
    await rename(path('aside'), path("local/a 'name' with \\ blanks & ünï"));
    expect(verdict()).toMatch(/^E64: /);
  });

  it('is refused where a file has become a folder', async () => {
    await rm(path('startup/sub_start.sh'));
    await mkdir(path('startup/sub_start.sh'));
    expect(verdict()).toBe(`E64: user_config is not what was sealed: ${name}`);
  });

  it.each([
    ['a symbolic link', (file: string) => symlink('/etc/shadow', file)],
    [
      'a link in the place of a file',
      async (file: string) => {
        await rm(path('startup/sub_start.sh'));
        await symlink('/applog/planted', path('startup/sub_start.sh'));
        await symlink('sub_start.sh', file);
      },
    ],
    ['a pipe', async (file: string) => void execFileSync('mkfifo', [file])],
  ])('is refused with %s, without opening it', async (_, make) => {
    await make(path('local/odd'));
    expect(verdict()).toMatch(
      /^E63: user_config holds something that is neither file nor folder: \.\/nvflare\//,
    );
  });

  it.each(['a\nf 0644 - b', 'tab\tin it', 'bell\u0007'])('is refused with the name %j', async (odd) => {
    await writeFile(path(odd), '');
    expect(verdict()).toBe('E64: user_config is not what was sealed: a name with a control character');
  });

  it('is refused with a line of the list as a name', async () => {
    await writeFile(path('e - - nvflare'), '');
    expect(verdict()).toBe('E64: user_config is not what was sealed: nvflare/e - - nvflare');
  });
});
