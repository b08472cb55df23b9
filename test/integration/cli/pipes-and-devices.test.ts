import { execFileSync } from 'node:child_process';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../../src/build/builder-file.ts';
import { BuildBench } from '../build/bench.ts';

let bench: BuildBench;
const at = (name: string) => bench.path(name);
beforeAll(async () => {
  bench = await BuildBench.make();
  execFileSync('mkfifo', [at('pipe')]);
  await symlink('/dev/zero', at('zeros'));
  await writeFile(at('plain'), 'plain');
  await mkdir(at('bundle/cvm_0123456789ab'), { recursive: true });
});
afterAll(() => bench?.[Symbol.asyncDispose]());

/** Kills what would wait for ever; what it says before is nothing then, and the test fails. */
const patience = 120_000;

async function cvm(...args: string[]) {
  const { stdout, stderr, exitCode } = await execa(`${projectRoot}/bin/cvm`, args, {
    cwd: bench.folder,
    env: { HOME: bench.folder, XDG_CACHE_HOME: at('cache'), XDG_STATE_HOME: at('state') },
    reject: false,
    timeout: patience,
    killSignal: 'SIGKILL',
  });
  return { stdout, stderr, status: exitCode };
}

describe.each(['pipe', 'zeros'])('a %s in the place of a file is refused and not waited for', (name) => {
  const production = async (more: string) => {
    await writeFile(at('production.yml'), `kbs:\n  url: https://kbs.example.org\n${more}`);
    return ['build', '--config', at('production.yml'), at('cc_site-1.yml')];
  };
  it.each<[string, () => Promise<string[]> | string[]]>([
    ['the cc_config', () => ['build', '--dev', at(name)]],
    ['builder.yml', () => ['build', '--dev', '--config', at(name), at('cc_site-1.yml')]],
    [
      'the docker archive',
      async () => {
        await bench.configure(name);
        return bench.buildArguments();
      },
    ],
    [
      'a file of the startup kit',
      async () => {
        await bench.configure('image.tar.gz');
        await rm(at('site-1/startup/extra'), { force: true });
        execFileSync('cp', ['-a', '--no-dereference', at(name), at('site-1/startup/extra')]);
        if (name === 'zeros') {
          // A link that leads out of the kit is refused for that; a device in it needs root.
          await rm(at('site-1/startup/extra'));
          execFileSync('mkfifo', [at('site-1/startup/extra')]);
        }
        return bench.buildArguments();
      },
    ],
    [
      "the key broker's certificate",
      async () => {
        await rm(at('site-1/startup/extra'), { force: true });
        return production(`  ca: ${at(name)}\n`);
      },
    ],
    ['the base to import', () => ['base', 'import', at(name)]],
    ['the base to look into', () => ['base', 'inspect', at(name)]],
    ['a bundle to verify', () => ['verify', at(name)]],
    ['a bundle to look into', () => ['inspect', at(name)]],
    ['a drive with logs', () => ['logs', at(name)]],
    ['a drive to list', () => ['drive', 'ls', at(name)]],
    ['firmware to measure', () => ['measure', '--ovmf', at(name), '--vcpus', '1', '--cpu', 'EPYC-v4']],
    [
      'the registry',
      async () => {
        await mkdir(at('policy'), { recursive: true });
        await rm(at('policy/cvm-registry.json'), { force: true });
        await symlink(at(name), at('policy/cvm-registry.json'));
        return ['policy', 'list', '--directory', at('policy')];
      },
    ],
    [
      'the key of an ID block',
      () => ['measure', '--id-key', at(name), '--author-key', at(name), at('bundle/cvm_0123456789ab')],
    ],
  ])('%s', async (_, prepare) => {
    const { stdout, stderr, status } = await cvm(...(await prepare()));
    expect(stderr).toMatch(
      /^error: cannot .*(?:\/pipe|\/zeros|\/extra|\/cvm-registry\.json).*: it is (?:not a regular file|a named pipe)$/m,
    );
    expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect(stdout).not.toContain('is ready');
    expect(status).toBeGreaterThan(0);
  });
});
