import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createdNow, readManifest, writeManifest } from '../../../src/bundle/index.ts';
import { manifest } from './fixture.ts';

let top: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'manifest-'));
});
afterEach(async () => {
  await rm(top, { recursive: true });
});

// biome-ignore lint/suspicious/noExplicitAny: the changes break the type on purpose
type Change = (value: any) => unknown;

async function readChanged(change: Change): Promise<unknown> {
  const value = structuredClone(manifest);
  change(value);
  await writeFile(join(top, 'manifest.json'), JSON.stringify(value));
  return await readManifest(top);
}

test('what is written is read back', async () => {
  await writeManifest(top, manifest);
  expect(await readManifest(top)).toEqual(manifest);
});

test.each<[string, Change, RegExp]>([
  ['a digest whose two forms differ', (m) => (m.launch.digests[0].base64 = 'AAAA'), /hex and base64/],
  ['a vCPU count without digest', (m) => m.launch.vcpus.push(16), /one for each of vcpus/],
  ['a digest for another CPU', (m) => (m.launch.digests[1].cpu = 'EPYC-Milan'), /same CPU model/],
  ['a debug policy', (m) => (m.launch.policy = '0xb0000'), /launch\.policy/],
  ['a file too few', (m) => delete m.files.vmlinuz, /files\.vmlinuz/],
  ['a file too many', (m) => (m.files['../x'] = { sha256: '0'.repeat(64), bytes: 1 }), /files/],
  ['another firmware', (m) => (m.firmware.sha256 = '1'.repeat(64)), /firmware\.sha256: must be that of OVMF/],
  ['a password in the URL', (m) => (m.kbs.url = 'https://me:secret@kbs'), /kbs\.url/],
  ['a token in the URL', (m) => (m.kbs.url = 'https://kbs/?token=x'), /kbs\.url/],
  ['a URL that is no address of a KBS', (m) => (m.kbs.url = 'file:///etc/passwd'), /kbs\.url/],
  ['a URL that is none at all', (m) => (m.kbs.url = 'https://[:8999'), /: kbs\.url: [^;]*$/],
  ['an unknown field', (m) => (m.disk_key = 'x'), /disk_key/],
  ['a command line of two lines', (m) => (m.launch.cmdline = 'a\nb'), /launch\.cmdline/],
  [
    'a command line longer than any kernel takes',
    (m) => (m.launch.cmdline = 'x'.repeat(4097)),
    /at most 4096/,
  ],
  ['an id in capitals', (m) => (m.id = '885FE8F608B3'), /id: must be 12/],
])('a manifest with %s is refused by name', async (_, change, message) => {
  await expect(readChanged(change)).rejects.toThrow(message);
});

test('all problems are told at once', async () => {
  await expect(
    readChanged((m) => {
      m.id = 'x';
      m.kind = 'other';
    }),
  ).rejects.toThrow(/id: .*; kind: /);
});

test('a later schema version is told apart from a damaged file', async () => {
  await expect(readChanged((m) => (m.schema_version = 2))).rejects.toThrow(
    /schema version 2, this builder knows 1/,
  );
  await writeFile(join(top, 'manifest.json'), '{');
  await expect(readManifest(top)).rejects.toThrow(/not JSON/);
  await rm(join(top, 'manifest.json'));
  await expect(readManifest(top)).rejects.toThrow(/no such file/);
  await symlink('/etc/passwd', join(top, 'manifest.json'));
  await expect(readManifest(top)).rejects.toThrow(/not a small regular file/);
});

test('an invalid manifest is never written', async () => {
  await expect(writeManifest(top, { ...manifest, id: 'x' })).rejects.toThrow();
  await expect(readManifest(top)).rejects.toThrow(/no such file/);
});

test('the time of the build is SOURCE_DATE_EPOCH where it is set', () => {
  expect(createdNow({ SOURCE_DATE_EPOCH: '1' })).toBe('1970-01-01T00:00:01.000Z');
  expect(createdNow({})).toMatch(/^20\d\d-/);
  expect(() => createdNow({ SOURCE_DATE_EPOCH: 'yesterday' })).toThrow(/not a number of seconds/);
});
