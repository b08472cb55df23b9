import { execFileSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDrive } from '../../../src/drives/index.ts';
import { BuildBench } from './bench.ts';

const large = 320 * 2 ** 20;
/** Resident memory of the builder's own process, bytes: less than the file, and more than a build of the quickstart takes. */
const mostMemory = 300 * 2 ** 20;

/** Writes the largest resident size of a process, in KiB, into the file that PEAK names, unless a larger one is there. */
const peakHook = `
import { readFileSync, writeFileSync } from 'node:fs';
process.on('exit', () => {
  let before = 0;
  try { before = Number(readFileSync(process.env.PEAK, 'utf8')); } catch {}
  writeFileSync(process.env.PEAK, String(Math.max(before, process.resourceUsage().maxRSS)));
});
`;

describe('a kit with a large file', () => {
  let bench: BuildBench;
  let env: Record<string, string>;
  const peak = async () => Number(await readFile(env.PEAK!, 'utf8')) * 1024;

  beforeAll(async () => {
    bench = await BuildBench.make();
    // Random, so that no compression makes it small.
    execFileSync('sh', [
      '-c',
      'head -c 1073741824 /dev/urandom > "$1"',
      'sh',
      bench.path('site-1/local/model.bin'),
    ]);
    await writeFile(bench.path('peak.mjs'), peakHook);
    env = {
      PEAK: bench.path('peak'),
      NODE_OPTIONS: `--import=${pathToFileURL(bench.path('peak.mjs'))}`,
    };
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it('is built and verified in bounded memory, and takes no room on the plain drive', async () => {
    const { status, stderr } = await bench.build([], { env });
    expect(stderr).not.toContain('error:');
    expect(status).toBe(0);
    expect(await peak()).toBeLessThan(mostMemory);
    const bundle = await bench.bundle();
    expect((await stat(join(bundle, 'crypt_root.qcow2'))).size).toBeGreaterThan(large);
    expect((await stat(join(bundle, 'user_config.qcow2'))).size).toBeLessThan(2 ** 26);
    const key = join(bench.path('handoff'), bundle.slice(bundle.lastIndexOf('/')), 'disk.key');
    const verified = await bench.run(['verify', bundle, '--key', key], { env });
    expect(verified.stdout).toMatch(/^ok +startup kit$/m);
    expect(await peak()).toBeLessThan(mostMemory);
    await using drive = await openDrive(join(bundle, 'user_config.qcow2'));
    expect((await drive.list('/nvflare/local'))?.map(({ name }) => name)).toEqual(['privacy.json']);
  });

  it('is refused where the root drive has no room for it, with the part that takes it and the size that would do', async () => {
    await bench.clear();
    const text = await readFile(bench.path('cc_site-1.yml'), 'utf8');
    await writeFile(
      bench.path('cc_site-1.yml'),
      text.replace(/^root_drive_size: .*$/m, 'root_drive_size: 1'),
    );
    execFileSync('sh', [
      '-c',
      `head -c 740M /dev/urandom > "$1"`,
      'sh',
      bench.path('site-1/local/model.bin'),
    ]);
    const { status, stderr } = await bench.build();
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: cannot seal the root drive: .* root_drive_size gives 1\.0+ GiB/);
    expect(stderr).toMatch(/site takes 0\.7\d GiB/);
    expect(stderr).toMatch(/hint: set root_drive_size to 2 or more/);
  });
});
