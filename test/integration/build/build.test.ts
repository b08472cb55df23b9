import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFiles, commandLine, readManifest } from '../../../src/bundle/index.ts';
import { openDrive } from '../../../src/drives/index.ts';
import { BuildBench, type Outcome } from './bench.ts';

let bench: BuildBench;
let first: { outcome: Outcome; folder: string; handoff: string; id: string; registry: string };
let second: typeof first;

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function buildOne(name: string): Promise<typeof first> {
  const outcome = await bench.build(['--output', bench.path(name)]);
  expect(outcome.stderr).not.toContain('error:');
  expect(outcome.status).toBe(0);
  const names = (await bench.list(`${name}/target`)).filter((entry) => entry.startsWith('cvm_'));
  expect(names).toHaveLength(1);
  return {
    outcome,
    folder: bench.path(`${name}/target/${names[0]}`),
    handoff: bench.path(`${name}/handoff/${names[0]}`),
    id: names[0]!.slice(4),
    registry: await readFile(bench.registry, 'utf8'),
  };
}

beforeAll(async () => {
  bench = await BuildBench.make();
  first = await buildOne('one');
  second = await buildOne('two');
});
afterAll(() => bench?.[Symbol.asyncDispose]());

/** Path, mode and content of everything on a drive. */
async function driveContent(file: string): Promise<string[]> {
  await using drive = await openDrive(file);
  const lines: string[] = [];
  const walk = async (folder: string) => {
    for (const { name, kind } of (await drive.list(folder)) ?? []) {
      if (name === '.' || name === '..') continue;
      const path = `${folder}${name}`;
      const content = kind === 'file' ? await drive.readFile(path, 1 << 20) : undefined;
      lines.push(`${kind} ${path} ${content === undefined ? '' : sha256(content)}`);
      if (kind === 'folder') await walk(`${path}/`);
    }
  };
  await walk('/');
  return lines.sort();
}

describe('a build', () => {
  it('ends with the line that FLARE looks for, exactly once, and nothing behind it', () => {
    const ready = /CVM Bundle (\S+) is ready/;
    const { stdout, stderr } = first.outcome;
    const lines = stdout.trimEnd().split('\n');
    expect(lines.at(-1)).toBe(`CVM Bundle ${bench.path('one/target/site-1.tgz')} is ready`);
    expect(lines.filter((line) => ready.test(line))).toHaveLength(1);
    expect(stderr).not.toMatch(ready);
  });

  it('says as many lines on one stream as on the other, and little on both', () => {
    const { stdout, stderr } = first.outcome;
    expect(Math.abs(stdout.split('\n').length - stderr.split('\n').length)).toBeLessThanOrEqual(1);
    expect(stdout.length + stderr.length).toBeLessThan(32_768);
  });

  it('leaves the bundle’s ten files and the archive in target/, nothing else', async () => {
    expect(await bench.list('one/target')).toEqual([`cvm_${first.id}`, 'site-1.tgz']);
    expect((await readdir(first.folder)).sort()).toEqual(bundleFiles);
    for (const name of bundleFiles) expect((await lstat(join(first.folder, name))).isFile()).toBe(true);
  });

  it('says in the manifest what the bundle is', async () => {
    const manifest = await readManifest(first.folder);
    expect(manifest).toMatchObject({ id: first.id, name: 'site-1', kind: 'development' });
    expect(manifest.launch.cmdline).toBe(commandLine(first.id));
    expect(manifest.launch.vcpus).toEqual([1, 2]);
    expect(manifest.kbs.resource).toBe(`keys/root/${first.id}`);
  });

  it('hands key and reference values to the administrator alone, outside of target/', async () => {
    expect((await stat(first.handoff)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(first.handoff))
      expect((await stat(join(first.handoff, name))).mode & 0o777, name).toBe(0o600);
    expect(await readFile(join(first.handoff, 'disk.key'), 'latin1')).toMatch(/^[0-9a-f]{128}$/);
  });

  it('registers the image in the development state, and retires the previous one only where it may', () => {
    expect(first.registry).toContain(first.id);
    expect(second.registry).toContain(first.id);
    expect(second.registry).toContain(second.id);
    // No project is known for this kit, so nothing is superseded.
    expect(second.registry).not.toContain('retired');
  });

  it('writes no policy and no registry anywhere but in the development state', async () => {
    expect(await bench.list('one/handoff')).toEqual([`cvm_${first.id}`]);
    const state = await bench.list('state/cvm-builder/development');
    expect(state).toEqual(
      expect.arrayContaining(['policy.rego', basename(bench.registry), 'ca.crt', 'ca.key']),
    );
    const policy = await readFile(bench.path('state/cvm-builder/development/policy.rego'), 'utf8');
    expect(policy).toContain(first.id);
    expect(policy).not.toContain('sample');
  });

  it('puts the key into no file of target/, no line of output, and not into the state', async () => {
    const ascii = await readFile(join(first.handoff, 'disk.key'));
    const forms = [ascii, Buffer.from(ascii.toString(), 'hex'), Buffer.from(ascii.toString('base64'))];
    const files = [
      ...bundleFiles.map((name) => join(first.folder, name)),
      bench.path('one/target/site-1.tgz'),
      ...(await bench.list('state/cvm-builder/development')).map((name) =>
        bench.path(`state/cvm-builder/development/${name}`),
      ),
    ];
    for (const file of files) {
      if (!(await stat(file)).isFile()) continue;
      const bytes = await readFile(file);
      for (const form of forms) expect(bytes.includes(form.subarray(0, 32)), file).toBe(false);
    }
    expect(first.outcome.stdout + first.outcome.stderr).not.toContain(ascii.subarray(0, 16).toString());
  });

  it('puts the site’s private key onto no plain drive and into no initrd', async () => {
    const key = (await readFile(bench.path('site-1/startup/client.key'), 'latin1')).split('\n')[1]!;
    for (const name of bundleFiles) {
      const bytes = await readFile(join(first.folder, name));
      expect(bytes.includes(key), name).toBe(false);
    }
    const content = (await driveContent(join(first.folder, 'user_config.qcow2'))).join('\n');
    expect(content).toContain('/nvflare/startup/client.crt');
    expect(content).not.toContain('client.key');
  });
});

describe('two builds of one site', () => {
  const same = ['OVMF.amdsev.fd', 'vmlinuz'];
  const read = (build: typeof first, name: string) => readFile(join(build.folder, name));

  it('have another id and another key', async () => {
    expect(second.id).not.toBe(first.id);
    const keys = [first, second].map((build) => readFile(join(build.handoff, 'disk.key'), 'latin1'));
    expect(await keys[0]).not.toBe(await keys[1]);
  });

  it('share firmware and kernel to the byte', async () => {
    for (const name of same)
      expect((await read(first, name)).equals(await read(second, name)), name).toBe(true);
  });

  it('share the generic parts of the initrd to the byte', async () => {
    const initrds = [await read(first, 'initrd.img'), await read(second, 'initrd.img')];
    let common = 0;
    while (initrds[0]![common] === initrds[1]![common]) common++;
    // What differs is the site's own part at the end: a few settings and the LUKS header of 2 MiB.
    expect(initrds[0]!.length - common).toBeLessThan((2 << 20) + 65_536);
    expect(common).toBeGreaterThan(8 << 20);
  });

  it('have the same content on every plain drive', async () => {
    for (const name of ['user_config.qcow2', 'user_data.qcow2', 'applog.qcow2'])
      expect(await driveContent(join(second.folder, name)), name).toEqual(
        await driveContent(join(first.folder, name)),
      );
  });

  it('have texts that differ in id and digests alone', async () => {
    for (const name of ['launch_vm.sh', 'README.txt']) {
      const [a, b] = await Promise.all(
        [first, second].map(async (build) => {
          const manifest = await readManifest(build.folder);
          let text = (await read(build, name)).toString().replaceAll(build.id, '<id>');
          for (const { hex, base64 } of manifest.launch.digests)
            text = text.replaceAll(hex, '<digest>').replaceAll(base64, '<digest>');
          return text.replaceAll(manifest.created, '<time>');
        }),
      );
      expect(b).toBe(a);
    }
  });

  it('have manifests that differ in what follows from id, key and time alone', async () => {
    const strip = async (build: typeof first) => {
      const { id, created, files, launch, kbs, ...rest } = await readManifest(build.folder);
      return {
        rest,
        launch: { ...launch, cmdline: launch.cmdline.replace(id, ''), digests: launch.digests.length },
        kbs: { ...kbs, resource: kbs.resource.replace(id, '') },
        files: same.map((name) => files[name as keyof typeof files]),
        created: created.length,
      };
    };
    expect(await strip(second)).toEqual(await strip(first));
  });

  it('have ciphertexts that share nothing', async () => {
    const [a, b] = [await read(first, 'crypt_root.qcow2'), await read(second, 'crypt_root.qcow2')];
    const blocks = new Set<string>();
    const zero = Buffer.alloc(4096);
    // Behind qcow2's own tables and the LUKS header.
    for (let at = 8 << 20; at + 4096 <= Math.min(a.length, 64 << 20); at += 4096)
      if (!a.subarray(at, at + 4096).equals(zero)) blocks.add(sha256(a.subarray(at, at + 4096)));
    let shared = 0;
    for (let at = 8 << 20; at + 4096 <= Math.min(b.length, 64 << 20); at += 4096)
      if (blocks.has(sha256(b.subarray(at, at + 4096)))) shared++;
    expect(blocks.size).toBeGreaterThan(1000);
    expect(shared).toBe(0);
  });
});
