import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageToImport } from '../../../src/build/imported-base.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';
import { defaultBuilderConfig } from '../../../src/config/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'imported-base-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const image = (base: Partial<BuildSettings['builder']['base']> = {}) => {
  const builder = defaultBuilderConfig();
  const settings = {
    builder: { ...builder, base: { ...builder.base, ...base } },
    builderFolder: folder,
    baseImages: folder,
  };
  return imageToImport(settings as BuildSettings);
};
const put = (name: string) => writeFile(join(folder, name), 'x');

describe('the base of a build', () => {
  it('is built where nothing lies in base_images, or only what is no base', async () => {
    expect(image()).toBeUndefined();
    await put('OVMF.amdsev.fd');
    await put('ubuntu_base.iso');
    expect(image()).toBeUndefined();
  });

  it('is imported from ubuntu_base.*, with the kernel of base.kernel', async () => {
    await put('ubuntu_base.tar.zst');
    const file = join(folder, 'ubuntu_base.tar.zst');
    expect(image()).toEqual({ file, kernel: undefined });
    expect(image({ kernel: '6.8.0-45-generic' })).toEqual({ file, kernel: '6.8.0-45-generic' });
  });

  it('is imported from base.image, whatever lies in base_images', async () => {
    await put('ubuntu_base.qcow2');
    await put('ubuntu_base.raw');
    await put('other');
    expect(image({ image: 'other' })).toEqual({ file: join(folder, 'other'), kernel: undefined });
    expect(() => image({ image: 'absent' })).toThrow('absent');
  });

  it('is built where base.suite asks for it', async () => {
    await put('ubuntu_base.qcow2');
    expect(image({ suite: 'bookworm' })).toBeUndefined();
  });

  it('is not guessed where there are two', async () => {
    await put('ubuntu_base.qcow2');
    await put('ubuntu_base.raw');
    expect(() => image()).toThrow(/cannot choose the base: .* holds more than one/);
  });

  it('has no kernel to choose where it is built', () => {
    expect(() => image({ kernel: '6.8.0-45-generic' })).toThrow('cannot honour base.kernel');
  });
});
