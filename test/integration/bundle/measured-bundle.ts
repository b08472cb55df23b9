import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import packageJson from '../../../package.json' with { type: 'json' };
import {
  type AdminRecord,
  commandLine,
  describeFiles,
  type Manifest,
  measureLaunch,
  writeLaunchScript,
  writeManifest,
} from '../../../src/bundle/index.ts';
import { parseFirmware } from '../../../src/measure/index.ts';
import { firmwareImage } from '../../unit/measure/firmware-image.ts';

export const id = '885fe8f608b3';

const drives = ['crypt_root', 'applog', 'user_config', 'user_data'] as const;

/** A bundle below `parent` whose parts are small, and whose digests, script and manifest are what the builder computes and writes. */
export async function makeMeasuredBundle(parent: string): Promise<{ folder: string; manifest: Manifest }> {
  const folder = join(parent, `cvm_${id}`);
  await mkdir(folder);
  const kernel = Buffer.alloc(4096);
  kernel.write('HdrS', 0x202, 'latin1');
  await writeFile(join(folder, 'OVMF.amdsev.fd'), firmwareImage());
  await writeFile(join(folder, 'vmlinuz'), kernel);
  await writeFile(join(folder, 'initrd.img'), 'initrd');
  await writeFile(join(folder, 'README.txt'), 'read me');
  for (const name of drives) await writeFile(join(folder, `${name}.qcow2`), name);
  return { folder, manifest: await writeMeasured(folder, {}) };
}

/** Measures what lies in the folder, then writes script and manifest for it, as a build or a thorough forger does. */
export async function writeMeasured(
  folder: string,
  change: { cpu?: string; cmdline?: string },
): Promise<Manifest> {
  const firmware = parseFirmware(await readFile(join(folder, 'OVMF.amdsev.fd')));
  const { launch } = await measureLaunch({
    firmware,
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    cmdline: commandLine(id),
    cpu: 'EPYC-v4',
    guestFeatures: 1,
    vcpus: [2, 4, 8],
    memoryGib: 4,
    ...change,
  });
  await writeLaunchScript(folder, {
    id,
    kind: 'production',
    launch,
    allowedPorts: [8002],
    userDataWritable: true,
  });
  const made: Manifest = {
    schema_version: 1,
    id,
    name: 'site-1',
    kind: 'production',
    builder_version: packageJson.version,
    created: '2026-01-02T03:04:05.000Z',
    files: await describeFiles(folder),
    launch,
    firmware: { sha256: firmware.sha256, verdict: 'sound', reason: '' },
    kbs: { url: 'https://kbs.example.com:8999', resource: `keys/root/${id}` },
  };
  await writeManifest(folder, made);
  return made;
}

/** What the administrator keeps of the bundle as it was built. */
export const recordOf = ({ launch, firmware, kbs, files }: Manifest) => ({
  ...earlierRecordOf({ launch, firmware, kbs }),
  files: Object.fromEntries(
    (
      ['OVMF.amdsev.fd', 'README.txt', 'initrd.img', 'launch_vm.sh', 'user_config.qcow2', 'vmlinuz'] as const
    ).map((name) => [name, files[name].sha256]),
  ),
});

/** The same by a builder that recorded no files. */
export const earlierRecordOf = ({ launch, firmware, kbs }: Pick<Manifest, 'launch' | 'firmware' | 'kbs'>) =>
  ({
    id,
    name: 'site-1',
    kind: 'production',
    status: 'active',
    builtAt: '2026-01-02T03:04:05.000Z',
    resourcePath: kbs.resource,
    digests: launch.digests.map(({ vcpus, cpu, guest_features, hex }) => ({
      vcpus,
      cpu,
      guestFeatures: guest_features,
      firmwareSha256: firmware.sha256,
      hex,
    })),
  }) satisfies AdminRecord & Record<string, unknown>;
