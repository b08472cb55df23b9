import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acceptFirmware } from '../../../src/build/accept-firmware.ts';
import { firmwareImage } from '../measure/firmware-image.ts';

// Nobody has looked at this image: its verdict is "unknown".
const image = firmwareImage();
const sha256 = createHash('sha256').update(image).digest('hex');

let folder: string;
let file: string;
const said = { notes: [] as string[], warnings: [] as string[] };
const report = {
  signal: new AbortController().signal,
  note: (text: string) => void said.notes.push(text),
  warn: (text: string) => void said.warnings.push(text),
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firmware-test-'));
  file = join(folder, 'OVMF.amdsev.fd');
});
beforeEach(async () => {
  await writeFile(file, image);
  said.notes = [];
  said.warnings = [];
});
afterAll(() => rm(folder, { recursive: true }));

const accept = (kind: 'production' | 'development', accepted: string[] = []) =>
  acceptFirmware({ file, origin: 'base_images/' }, { kind, acceptFirmware: accepted }, report);

describe('acceptFirmware', () => {
  it('stops a production build at firmware that is not known to be sound, and says how to accept it', async () => {
    await expect(accept('production')).rejects.toMatchObject({
      name: 'UserError',
      status: 2,
      message: expect.stringContaining(`firmware ${sha256} is unknown`),
      hint: expect.stringContaining(`--accept-firmware ${sha256}`),
    });
  });

  it('takes it with a warning where its own SHA-256 was accepted', async () => {
    const { verdict, origin, accepted } = await accept('production', ['00'.repeat(32), sha256]);
    expect(verdict.verdict).toBe('unknown');
    expect(accepted).toBe(true);
    expect(origin).toBe('base_images/');
    expect(said.warnings).toEqual([expect.stringMatching(new RegExp(`${sha256}.*accepted by its SHA-256`))]);
  });

  it('is not moved by the SHA-256 of another file', async () => {
    await expect(accept('production', ['00'.repeat(32)])).rejects.toThrow('cannot build a production bundle');
  });

  it('warns in a development build', async () => {
    expect(await accept('development')).toMatchObject({ accepted: false });
    expect(said.warnings).toEqual([
      `firmware ${sha256} is unknown: its SHA-256 is not in the table of known firmware`,
    ]);
  });

  it('always says where the firmware is from and what the verdict is', async () => {
    await accept('development');
    expect(said.notes).toEqual([expect.stringMatching(/from base_images\/: verdict unknown/)]);
  });

  it('ships the bytes that were judged, also where the file changes afterwards', async () => {
    const { writeTo } = await accept('development');
    await writeFile(file, 'something else');
    await writeTo(join(folder, 'shipped.fd'));
    expect((await readFile(join(folder, 'shipped.fd'))).equals(image)).toBe(true);
  });

  it('refuses what is no firmware', async () => {
    await writeFile(file, 'no firmware');
    await expect(accept('development')).rejects.toThrow(`cannot read firmware ${file}: its size is 11 bytes`);
  });
});
