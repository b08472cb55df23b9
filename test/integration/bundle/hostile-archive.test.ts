import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Header } from 'tar';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openSource, packBundle } from '../../../src/bundle/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { id, makeBundle } from '../../unit/bundle/fixture.ts';

let top: WorkDirectory;
let archive: string;
let tar: Buffer;
beforeEach(async () => {
  top = await workDirectory();
  archive = join(top.path, 'site-1.tgz');
  await packBundle({ folder: await makeBundle(top.path), name: 'site-1', out: archive });
  tar = gunzipSync(await readFile(archive));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await top[Symbol.asyncDispose]();
});

const script = `site-1/cvm_${id}/launch_vm.sh`;

/** An entry as tar writes it. */
function entry(path: string, content: string, type: 'File' | 'ExtendedHeader' = 'File'): Buffer {
  const head = Buffer.alloc(512);
  new Header({ path, type, mode: 0o755, size: content.length, uid: 0, gid: 0, mtime: new Date(0) }).encode(
    head,
    0,
  );
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([head, body]);
}

test.each([
  0, 6,
])('an entry behind the end, which some programs unpack, is not overlooked (level %d)', async (level) => {
  const planted = Buffer.concat([
    tar.subarray(0, -512),
    entry(script, '#!/bin/sh\necho planted\n'),
    Buffer.alloc(1024),
  ]);
  await writeFile(archive, gzipSync(planted, { level }));
  await expect(openSource(archive)).rejects.toThrow(/behind its end|twice/);
});

test('an extended header that other programs obey is refused, and harmless ones are not', async () => {
  const at = tar.indexOf(script);
  const withHeader = async (record: string) => {
    const text = `${record.length + 4} ${record}\n`;
    const planted = [tar.subarray(0, at), entry('PaxHeader/x', text, 'ExtendedHeader'), tar.subarray(at)];
    await writeFile(archive, gzipSync(Buffer.concat(planted)));
    return openSource(archive);
  };
  await expect(withHeader('GNU.sparse.major=1')).rejects.toThrow(
    'it has the extended header "GNU.sparse.major"',
  );
  await using opened = await withHeader('mtime=1700000000.5');
  expect(await opened.file('launch_vm.sh')).toHaveProperty('size');
});

test('a compressed archive is unpacked on the disk: in memory it could take all of that', async () => {
  const folder = join(top.path, 'disk');
  await mkdir(folder);
  vi.stubEnv('TMPDIR', folder);
  await writeFile(archive, gzipSync(tar));
  await using opened = await openSource(archive);
  expect(await opened.file('launch_vm.sh')).toHaveProperty('size');
  expect(await readdir(folder)).toHaveLength(1);
});
