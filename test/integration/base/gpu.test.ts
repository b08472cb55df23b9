import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requireGpuSupport } from '../../../src/base/check/gpu.ts';
import { moduleFacts } from '../../../src/base/check/module-facts.ts';
import type { UserError } from '../../../src/host/errors.ts';

const kernelRelease = '6.8.0-64-generic';
const modules = `usr/lib/modules/${kernelRelease}/kernel/nvidia-570srv-open`;
const mark = '~Module signature appended~\n';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpu-base-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** What stands for a module: an ELF's filling around its .modinfo, then a signature. There is no driver of NVIDIA here. */
function moduleFile({ license = 'Dual MIT/GPL', version = '570.172.08', end = mark } = {}): Buffer {
  const modinfo = `\0version=${version}\0supported=external\0license=${license}\0srcversion=0123456789ABCDEF\0`;
  // Longer than the pieces in which it is read.
  const filling = Buffer.alloc(300_000, 'code ');
  return Buffer.concat([filling, Buffer.from(modinfo), filling, Buffer.from(`PKCS#7${end}`)]);
}

const compressed = {
  '': (bytes: Buffer) => bytes,
  '.xz': (input: Buffer) => execFileSync('xz', ['-0', '-c'], { input }),
  '.zst': (input: Buffer) => execFileSync('zstd', ['-q', '-1', '-c'], { input }),
  '.gz': (input: Buffer) => gzipSync(input),
};

/** A base with all that a GPU needs, but for what `change` does to it. */
async function base(change: (files: Record<string, Buffer | string>) => void = () => {}) {
  const files: Record<string, Buffer | string> = {
    'usr/lib/firmware/nvidia/570.172.08/gsp_ga10x.bin': '',
    'usr/lib/x86_64-linux-gnu/libcuda.so.1': '',
    'usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1': '',
    [`${modules}/nvidia.ko.zst`]: compressed['.zst'](moduleFile()),
    [`${modules}/nvidia-uvm.ko.zst`]: compressed['.zst'](moduleFile()),
  };
  for (const name of ['nvidia-smi', 'nvidia-persistenced', 'nvidia-ctk', 'nvidia-cdi-hook', 'jq'])
    files[`usr/bin/${name}`] = '';
  files.packages = 'nvidia-container-toolkit\t1.17.8-1\n';
  change(files);
  const { packages, ...tree } = files;
  for (const [name, content] of Object.entries(tree)) {
    await mkdir(dirname(join(folder, 'tree', name)), { recursive: true });
    await writeFile(join(folder, 'tree', name), content);
  }
  const squashfs = join(folder, 'base.squashfs');
  execFileSync('gensquashfs', ['-q', '-f', '-D', join(folder, 'tree'), squashfs]);
  await writeFile(join(folder, 'packages.tsv'), packages!);
  return { squashfs, kernelRelease, packages: join(folder, 'packages.tsv') };
}

const refusal = async (change: Parameters<typeof base>[0]) => {
  const error = await requireGpuSupport(await base(change)).then(
    () => undefined,
    (error: unknown) => error as UserError,
  );
  expect(error).toMatchObject({ name: 'UserError' });
  return error!;
};

describe('requireGpuSupport', () => {
  it('takes a base with a signed, open driver of today and a toolkit of today, without a word', async () => {
    const warnings: string[] = [];
    await requireGpuSupport(await base(), { warn: (text) => warnings.push(text) });
    expect(warnings).toEqual([]);
  });

  it('names all that is missing at once, what for, and where it comes from', async () => {
    const { message, details, hint } = await refusal((files) => {
      for (const name of ['usr/bin/nvidia-ctk', 'usr/bin/jq', `${modules}/nvidia.ko.zst`]) delete files[name];
    });
    expect(message).toBe(
      'cannot give the workload a GPU: the base lacks the kernel module nvidia, nvidia-ctk, jq',
    );
    expect(details).toEqual([
      expect.stringMatching(/^the kernel module nvidia: drives the GPU; from linux-modules-nvidia-/),
      expect.stringMatching(/^nvidia-ctk: .*CDI.*; from nvidia-container-toolkit/),
      expect.stringMatching(/^jq: .*; from jq/),
    ]);
    expect(hint).toContain('docs/base.md');
  });

  it.each([
    ['without a signature', { end: '' }, /is not signed/],
    ['whose signature is not at its end', { end: `${mark}more` }, /is not signed/],
    ['under NVIDIA’s own license', { license: 'NVIDIA' }, /is the closed one/],
    ['of a branch before confidential computing', { version: '535.216.01' }, /is of version 535\.216\.01/],
  ])('refuses a module %s, and names its file', async (_, more, why) => {
    const path = `${modules}/nvidia-uvm.ko.zst`;
    const { message, details } = await refusal((files) => {
      files[path] = compressed['.zst'](moduleFile(more));
    });
    expect(message).toMatch(/^cannot give the workload a GPU: the kernel module nvidia-uvm /);
    expect(message).toMatch(why);
    expect(details).toEqual([path]);
  });

  it('refuses a toolkit through whose hooks an image gets out of its container', async () => {
    const { message, hint } = await refusal((files) => {
      files.packages = 'nvidia-container-toolkit\t1.17.7-1\n';
    });
    expect(message).toMatch(/toolkit of the base is too old/);
    expect(hint).toContain('1.17.8');
  });

  it('warns of modules that DKMS built: their key is seldom one that the kernel knows', async () => {
    const warnings: string[] = [];
    const made = await base((files) => {
      delete files[`${modules}/nvidia.ko.zst`];
      files[`usr/lib/modules/${kernelRelease}/updates/dkms/nvidia.ko`] = moduleFile();
    });
    await requireGpuSupport(made, { warn: (text) => warnings.push(text) });
    expect(warnings).toEqual([expect.stringMatching(/updates\/dkms\/nvidia\.ko was built by DKMS/)]);
  });
});

describe('moduleFacts', () => {
  it.each(
    Object.keys(compressed) as (keyof typeof compressed)[],
  )('reads a module that ends in .ko%s', async (end) => {
    const path = `usr/lib/x${end === '' ? '.ko' : `.ko${end}`}`;
    const { squashfs } = await base((files) => {
      files[path] = compressed[end](moduleFile());
    });
    expect(await moduleFacts(squashfs, path)).toEqual({
      signed: true,
      license: 'Dual MIT/GPL',
      version: '570.172.08',
    });
  });

  it('refuses what is not compressed as its name says, and a path that is not there', async () => {
    const { squashfs } = await base((files) => {
      files['usr/lib/x.ko.xz'] = 'no xz';
    });
    await expect(moduleFacts(squashfs, 'usr/lib/x.ko.xz')).rejects.toMatchObject({ name: 'UserError' });
    await expect(moduleFacts(squashfs, 'usr/lib/y.ko')).rejects.toMatchObject({ name: 'UserError' });
  });
});
