import { chmod, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BuildBench, ended, type Outcome } from './bench.ts';

let bench: BuildBench;
beforeAll(async () => {
  bench = await BuildBench.make();
});
afterAll(() => bench?.[Symbol.asyncDispose]());
afterEach(async () => {
  await bench.clear();
  await bench.configure('image.tar.gz');
  await rm(bench.path('state'), { recursive: true, force: true });
});

const registryText = () => readFile(bench.registry, 'utf8').catch(() => undefined);

/** No bundle, no archive, no hand-off, no key; no line that FLARE would take for success. */
async function expectNothingMade(outcome: Outcome): Promise<void> {
  expect(outcome.stdout + outcome.stderr).not.toContain('is ready');
  expect(await bench.list('target')).toEqual([]);
  expect(await bench.list('handoff')).toEqual([]);
}

/** One cause, said once. */
function expectOneError({ stderr, stdout }: Outcome, cause: RegExp): void {
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  expect(errors).toEqual([expect.stringMatching(cause)]);
  expect(stdout).not.toContain('error: ');
  expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
}

/** The quickstart's archive with one change, under its own name. */
async function damaged(name: string, change: (tar: Buffer) => Buffer): Promise<void> {
  await writeFile(
    bench.path(name),
    gzipSync(change(gunzipSync(await readFile(bench.path('image.tar.gz')))), { level: 1 }),
  );
  await bench.configure(name);
}

describe('a build that fails', () => {
  it('leaves nothing where the site has a GPU and the base no driver, and names what is missing', async () => {
    await bench.configure('image.tar.gz', 'cc_gpu_mechanism: nvidia_cc\n');
    const outcome = await bench.build();
    expect(outcome.status).toBe(1);
    expectOneError(
      outcome,
      /the base lacks the kernel module nvidia, the kernel module nvidia-uvm, .* and \d+ more things$/,
    );
    expect(outcome.stderr).toMatch(/^nvidia-ctk: .*; from nvidia-container-toolkit/m);
    expect(outcome.stderr).toContain('no authorizer of cc_issuers checks the evidence of the GPU');
    await expectNothingMade(outcome);
    expect(await registryText()).toBeUndefined();
  });

  it('leaves nothing where a byte of a layer was changed', async () => {
    await damaged('flipped.tar.gz', (tar) => {
      tar[tar.indexOf('quickstart: ')]! ^= 1;
      return tar;
    });
    const outcome = await bench.build();
    expect(outcome.status).toBe(1);
    expectOneError(outcome, /flipped\.tar\.gz|layer/);
    await expectNothingMade(outcome);
    expect(await registryText()).toBeUndefined();
  });

  it('leaves nothing where the archive is cut off', async () => {
    await bench.copyOf('image.tar.gz', 'cut.tar.gz');
    await truncate(bench.path('cut.tar.gz'), 100_000);
    await bench.configure('cut.tar.gz');
    const outcome = await bench.build();
    expect([1, 2]).toContain(outcome.status);
    expectOneError(outcome, /cut\.tar\.gz/);
    await expectNothingMade(outcome);
  });

  it('leaves nothing where the file is no archive at all', async () => {
    await writeFile(bench.path('text.tar.gz'), 'nothing of the kind');
    await bench.configure('text.tar.gz');
    const outcome = await bench.build();
    expect([1, 2]).toContain(outcome.status);
    expectOneError(outcome, /text\.tar\.gz/);
    await expectNothingMade(outcome);
  });

  it('ends with status 2 and every problem where the configuration is wrong', async () => {
    await bench.configure('image.tar.gz', 'root_drive: 1\nallowed_ports: nope\n');
    const outcome = await bench.build();
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toMatch(/cc_site-1\.yml:\d+:\d+: .*allowed_ports/);
    await expectNothingMade(outcome);
    expect(await bench.list('.')).not.toContain('target');
  });

  it('leaves the earlier bundle, its archive and the registry as they were', async () => {
    expect((await bench.build()).status).toBe(0);
    const before = [await bench.list('target'), await bench.list('handoff'), await registryText()];
    await bench.copyOf('image.tar.gz', 'cut.tar.gz');
    await truncate(bench.path('cut.tar.gz'), 100_000);
    await bench.configure('cut.tar.gz');
    expect((await bench.build()).status).not.toBe(0);
    expect([await bench.list('target'), await bench.list('handoff'), await registryText()]).toEqual(before);
  });

  it('registers no image where the policy cannot be written', async () => {
    const state = bench.path('state/cvm-builder/development');
    await mkdir(state, { recursive: true });
    await writeFile(`${state}/policy.rego`, 'package another\n');
    const outcome = await bench.build();
    expect(outcome.status).toBe(1);
    expectOneError(outcome, /cannot update the policy/);
    await expectNothingMade(outcome);
    expect((await registryText()) ?? '').not.toContain('"active"');
  });

  it('registers no image where the archive cannot take its place', async () => {
    await mkdir(bench.path('target/site-1.tgz/in-the-way'), { recursive: true });
    const outcome = await bench.build();
    expect(outcome.status).not.toBe(0);
    expect(outcome.stdout).not.toContain('is ready');
    expect(await bench.list('target')).toEqual(['site-1.tgz']);
    expect(await bench.list('handoff')).toEqual([]);
    expect((await registryText()) ?? '').not.toContain('"active"');
    expectOneError(outcome, /site-1\.tgz/);
  });

  it('names the folder that it may not write to', async () => {
    if (process.getuid?.() === 0) return; // root may
    await mkdir(bench.path('closed'));
    await chmod(bench.path('closed'), 0o500);
    const outcome = await bench.build(['--output', bench.path('closed')]);
    expectOneError(outcome, /closed/);
  });
});

describe('a build that is interrupted', () => {
  const stages = ['Sealed root drive ...', 'Bundle ...'];

  it.each(
    stages.flatMap((stage) => [[stage, 'SIGINT', 130] as const, [stage, 'SIGTERM', 143] as const]),
  )('at "%s" by %s cleans up and ends with status %d', async (stage, signal, status) => {
    const build = bench.start(bench.buildArguments());
    let sent = false;
    build.stderr!.on('data', (text: Buffer) => {
      if (sent || !String(text).includes(stage)) return;
      sent = true;
      build.kill(signal);
    });
    const outcome = await ended(build);
    expect(sent).toBe(true);
    expect(outcome.status).toBe(status);
    expectOneError(outcome, /interrupted/);
    await expectNothingMade(outcome);
    expect(await registryText()).toBeUndefined();
    const left = [...(await readdir('/dev/shm')), ...(await readdir('/tmp'))];
    expect(left.filter((name) => name.startsWith('cvm-builder-') && name.includes(`-${build.pid}-`))).toEqual(
      [],
    );
    expect(await bench.list('cache/cvm-builder/.drafts')).toEqual([]);
  });
});
