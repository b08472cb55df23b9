import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Manifest, readLaunchScript } from '../bundle/index.ts';
import { readTextFile, sha256File } from '../host/files.ts';
import { MeasurementError, readFirmware } from '../measure/index.ts';
import type { BlobFile, Sources } from './candidates.ts';

/** Files of a bundle that a diagnosis reads. */
export const diagnosedFiles: readonly string[] = [
  'OVMF.amdsev.fd',
  'initrd.img',
  'launch_vm.sh',
  'manifest.json',
  'vmlinuz',
];

/** fw_cfg items have 32-bit sizes, so nothing larger was ever measured. */
const largestBlob = 2 ** 32;
const largestScript = 2 ** 20;

/** What a bundle's folder says, the files having come from a host: each may be anything. */
export interface BundleSources {
  sources: Pick<Sources, 'firmware' | 'kernels' | 'initrds' | 'script'>;
  /** Files that could not be looked at, one sentence each. */
  problems: string[];
}

/** Reads the files of a bundle's folder that enter the digest, and hashes those that are not as measured. */
export async function bundleSources(
  folder: string,
  { files, firmware }: Manifest,
  signal?: AbortSignal,
): Promise<BundleSources> {
  signal?.throwIfAborted();
  const problems: string[] = [];
  const blob = async (name: 'vmlinuz' | 'initrd.img'): Promise<BlobFile[]> => {
    const { size } = await lstat(join(folder, name));
    if (size > largestBlob) {
      problems.push(`${name} has ${size} bytes, more than QEMU can start`);
      return [];
    }
    const { hex } = await sha256File(join(folder, name), { signal });
    return hex === files[name].sha256 ? [] : [{ sha256: hex, origin: { kind: 'folder' } }];
  };
  const images: Sources['firmware'][number][] = [];
  try {
    const image = await readFirmware(join(folder, 'OVMF.amdsev.fd'), { target: 'any' });
    images.push({ image, origin: { kind: image.sha256 === firmware.sha256 ? 'manifest' : 'folder' } });
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    problems.push(error.message);
  }
  signal?.throwIfAborted();
  const kernels = await blob('vmlinuz');
  const initrds = await blob('initrd.img');
  signal?.throwIfAborted();
  return { sources: { firmware: images, kernels, initrds, script: await scriptValues(folder) }, problems };
}

/** The script is read, never run; what it does not write out stays unknown. */
async function scriptValues(folder: string): Promise<NonNullable<Sources['script']>> {
  const file = join(folder, 'launch_vm.sh');
  if ((await lstat(file)).size > largestScript) return {};
  const { cmdline, cpu } = readLaunchScript(await readTextFile(file, largestScript)).values;
  return {
    cmdline: 'value' in cmdline ? cmdline.value : undefined,
    cpu: 'value' in cpu ? cpu.value : undefined,
  };
}
