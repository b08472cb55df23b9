import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { commandLine, type Manifest } from '../../../src/bundle/index.ts';
import { editableLine, fileLine, folderLine, makeDrive } from '../../../src/drives/index.ts';
import { recordDigests } from '../../../src/host/digests.ts';
import { newDiskKey, type Secret } from '../../../src/host/secret.ts';
import { packCpio } from '../../../src/initrd/cpio.ts';
import { makeInitrd, sitePart } from '../../../src/initrd/index.ts';
import { layoutFile, type Seal, sealDrive } from '../../../src/seal/index.ts';
import { firewallRules } from '../../../src/site/index.ts';
import { initSettings } from '../../unit/initrd/init-settings.ts';
import { id, makeMeasuredBundle, writeMeasured } from '../bundle/measured-bundle.ts';

const mib = 2 ** 20;

/** A bundle whose drives are sealed and formatted by the real tools, small, and what the build knew of it. */
export interface SealedBundle {
  folder: string;
  manifest: Manifest;
  key: Secret;
  seal: Seal;
}

/** Content of one sealed layer: as random as ciphertext, so that no byte of it is found elsewhere by chance. */
export interface Layer {
  name: string;
  content: Buffer;
}

const fourLayers = (site: Buffer): Layer[] => [
  { name: 'base', content: randomBytes(700_000) },
  { name: 'site', content: site },
  { name: 'layer0', content: randomBytes(300_000) },
  { name: 'layer1', content: randomBytes(100) },
];

/** Files of a kit: content by path below nvflare/. */
export type Kit = Readonly<Record<string, string>>;

/** What a build seals of a kit that is all plain, but for `editable` paths. */
export function sealedListOf(kit: Kit, editable: readonly string[] = []): string {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  const files = Object.entries(kit).map(([name, text]) =>
    editable.includes(name)
      ? editableLine(`nvflare/${name}`)
      : fileLine(`nvflare/${name}`, 0o644, hash(text)),
  );
  return [folderLine('nvflare', 0o755), ...files]
    .sort()
    .map((line) => `${line}\n`)
    .join('');
}

/** A squashfs of files by path. */
export async function squashfsOf(
  work: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<Buffer> {
  const folder = await mkdtemp(join(work, 'squashfs-'));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  const file = `${folder}.squashfs`;
  execFileSync('gensquashfs', ['-q', '-D', folder, '-c', 'zstd', file]);
  return await readFile(file);
}

/** Makes the bundle below `parent`, with `kit` on its user_config drive. The sealed list is that of the kit unless told otherwise. */
export async function makeSealedBundle(
  parent: string,
  options: { layers?: Layer[]; kit?: Kit; list?: string } = {},
): Promise<SealedBundle> {
  const { kit = {}, list = sealedListOf(kit) } = options;
  const { folder } = await makeMeasuredBundle(parent);
  const work = join(parent, 'work');
  await mkdir(join(work, 'kit/nvflare'), { recursive: true, mode: 0o755 });
  for (const [name, text] of Object.entries(kit)) {
    await writeFile(join(work, 'kit/nvflare', name), text);
    await chmod(join(work, 'kit/nvflare', name), 0o644);
  }
  // Filled up to two blocks, whatever the list takes of them.
  const site = { 'usr/lib/cvm/user_config.list': list, filler: randomBytes(5000) };
  const layers = options.layers ?? fourLayers(await squashfsOf(work, site));
  const key = newDiskKey();
  const segments = [];
  for (const { name, content } of layers) {
    const file = join(work, name);
    await writeFile(file, content);
    segments.push({ name, file, bytes: (await stat(file)).size });
  }
  const seal = await sealDrive({
    segments,
    drive: join(folder, 'crypt_root.qcow2'),
    driveBytes: 512 * mib,
    key,
    workDirectory: work,
  });
  for (const label of ['applog', 'user_config', 'user_data']) {
    const content = label === 'user_config' ? { content: join(work, 'kit') } : {};
    const file = join(folder, `${label}.qcow2`);
    await makeDrive({ file, bytes: 16 * mib, label, seed: id, workDirectory: work, ...content });
  }
  await makeSealedInitrd(join(folder, 'initrd.img'), work, seal);
  return { folder, manifest: await writeMeasured(folder, {}), key, seal };
}

async function makeSealedInitrd(file: string, work: string, seal: Seal): Promise<void> {
  const system = join(work, 'system');
  await mkdir(join(system, 'etc/cvm'), { recursive: true });
  await writeFile(join(system, 'init'), '#!/bin/sh\n');
  await writeFile(join(system, 'etc/cvm/hosts'), 'that a later archive replaces\n');
  const generic = join(work, 'system.cpio.zst');
  await packCpio(system, generic, 3);
  const site = join(work, 'site.cpio.zst');
  const part = {
    settings: {
      ...initSettings(),
      kind: 'production' as const,
      cvm_id: id,
      cmdline: commandLine(id),
      kbs_url: 'https://kbs.example.com:8999',
      kbs_path: `keys/root/${id}`,
      verity_root_hash: seal.rootHash,
      verity_salt: seal.salt,
      verity_hash_offset: seal.hashOffset,
      verity_data_blocks: seal.dataBlocks,
      vault_first_sector: seal.vaultFirstSector,
    },
    layout: layoutFile(seal.segments),
    firewall: await firewallRules({
      allowedPorts: [8002, 8003],
      allowedOutPorts: [443],
      kbsUrl: 'https://kbs.example.com:8999',
    }),
    hosts: '127.0.0.1 localhost\n',
    modules: 'virtio_pci\n',
    kbsCa: 'PEM\n',
    luksHeader: seal.headerFile,
  };
  await sitePart(part, { file: site, workDirectory: work });
  // As the cache does where the part is made.
  await recordDigests(dirname(generic));
  await makeInitrd([generic], site, file);
}

let made: Promise<SealedBundle> | undefined;

/** A copy of one bundle that is made once: sealing takes a second. */
export async function copySealedBundle(parent: string, once: string): Promise<SealedBundle> {
  made ??= makeSealedBundle(once, { kit: { 'fed_client.json': '{}', 'client.crt': 'a certificate' } });
  const bundle = await made;
  const folder = join(parent, `cvm_${id}`);
  await cp(bundle.folder, folder, { recursive: true });
  return { ...bundle, folder };
}
