import { createHash } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashedFiles, type Manifest } from '../../../src/bundle/index.ts';
import { type LaunchScriptInput, writeLaunchScript } from '../../../src/bundle/launch-script/write.ts';

export const id = '885fe8f608b3';
const hex = (seed: string) => createHash('sha384').update(seed).digest('hex');
const digest = (vcpus: number) => ({
  vcpus,
  cpu: 'EPYC-v4',
  guest_features: '0x1',
  hex: hex(`${vcpus}`),
  base64: Buffer.from(hex(`${vcpus}`), 'hex').toString('base64'),
});
const sha256 = '0'.repeat(64);

export const manifest: Manifest = {
  schema_version: 1,
  id,
  name: 'site-1',
  kind: 'production',
  builder_version: '0.1.0',
  created: '2026-01-02T03:04:05.000Z',
  files: Object.fromEntries(hashedFiles.map((name) => [name, { sha256, bytes: 1 }])) as Manifest['files'],
  launch: {
    cmdline: `vm_id=${id} console=ttyS0 pci=realloc,nocrs`,
    cpu: 'EPYC-v4',
    guest_features: '0x1',
    policy: '0x30000',
    vcpus: [4, 8],
    digests: [digest(4), digest(8)],
    memory_gib: 16,
    hash_table_address: '0x810c00',
  },
  firmware: {
    sha256,
    version: 'Debian ovmf-amdsev 2026.08+ds-2',
    verdict: 'weak',
    reason: 'it can start more',
  },
  kbs: { url: 'https://kbs.example.com:8999', resource: `keys/root/${id}` },
};

export const launchInput: LaunchScriptInput = {
  id,
  kind: 'production',
  launch: manifest.launch,
  allowedPorts: [8002, 8003],
  userDataWritable: false,
};

/** A folder cvm_<id> with ten small files and a real launch_vm.sh. */
export async function makeBundle(parent: string, input: LaunchScriptInput = launchInput): Promise<string> {
  const folder = join(parent, `cvm_${id}`);
  await mkdir(folder, { recursive: true });
  for (const name of hashedFiles) await writeFile(join(folder, name), `${name}\n`);
  await writeFile(join(folder, 'manifest.json'), '{}\n');
  await writeLaunchScript(folder, input);
  await chmod(join(folder, 'launch_vm.sh'), 0o755);
  return folder;
}
