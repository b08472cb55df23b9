import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { layerOf } from '../../workload/images.ts';
import { asRoot, importInto, makeSystem, workFolder } from './system.ts';

const folder = workFolder();
const at = (name: string) => join(folder.path, name);
/** More than all pipes between a decompressor and its reader hold. */
const large = randomBytes(8 * 1024 * 1024);
const builder = join(import.meta.dirname, '../../../../bin/cvm');

/** Programs that this process has started and that have not ended. */
const running = () => process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length;

const compressed = (tool: string, source: string, target: string) =>
  execFileSync('sh', ['-c', `${tool} < "$1" > "$2"`, 'sh', source, target]);

/** A program that has ended stays on the list for a turn or two of the event loop. */
const expectNone = (what: string) => expect.poll(running, { timeout: 2000, message: what }).toBe(0);

afterEach(() => expectNone('at the end'));

describe('no program is left behind that nobody reads from', () => {
  it('the count sees one that is', async () => {
    const { spawn } = await import('node:child_process');
    const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
    expect(running()).toBe(1);
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill();
    await ended;
  });

  it('after an import of a large archive', async () => {
    const tree = await makeSystem(at('tree'), { 'opt/large': large.toString('base64') });
    asRoot('chown -R 0:0 "$1"; tar --numeric-owner -C "$1" -cf "$2" .', tree, at('base.tar'));
    for (const tool of ['zstd -1', 'xz -0']) {
      compressed(tool, at('base.tar'), at(tool));
      await importInto(folder.path, { file: at(tool) });
      await expectNone(tool);
    }
    execFileSync('sh', ['-c', 'tar2sqfs -q -f "$2" < "$1"', 'sh', at('base.tar'), at('base.squashfs')]);
    await importInto(folder.path, { file: at('base.squashfs') });
  });

  it.each([
    'zstd -1',
    'xz -0',
    'gzip -1',
  ])('after the refusal of what %s compressed, at its start, in the middle and at its end', async (tool) => {
    const parts = {
      'is no archive': large,
      'has a hostile entry': layerOf(['../a', { body: 'x' }], ['large', { body: large }]),
      'holds no kernel': layerOf(['large', { body: large }]),
    };
    for (const [name, content] of Object.entries(parts)) {
      await writeFile(at(name), content);
      compressed(tool, at(name), at(`${name}.packed`));
      await expect(importInto(folder.path, { file: at(`${name}.packed`) }), name).rejects.toThrow(
        'cannot import',
      );
      await expectNone(name);
    }
  });

  it('after the refusal of a damaged squashfs', async () => {
    const damaged = await readFile(at('base.squashfs'));
    damaged.fill(0, damaged.length >> 1);
    await writeFile(at('damaged.squashfs'), damaged);
    await expect(importInto(folder.path, { file: at('damaged.squashfs') })).rejects.toThrow(
      'cannot read squashfs',
    );
  });

  it('and the command ends with its refusal', () => {
    const env = { ...process.env, XDG_CACHE_HOME: at('cache') };
    const { status, signal, stderr } = spawnSync(builder, ['base', 'import', at('holds no kernel.packed')], {
      encoding: 'utf8',
      env,
      timeout: 60_000,
    });
    expect({ status, signal }).toEqual({ status: 1, signal: null });
    expect(stderr).toContain('it holds no kernel');
  });
});
