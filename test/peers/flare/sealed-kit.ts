import { cp, mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { openSource } from '../../../src/bundle/index.ts';
import { copyFromDrive } from '../../../src/drives/index.ts';
import { lookInside, readKeyFile } from '../../../src/inspect/index.ts';
import { openPayload } from '../../../src/inspect/opened.ts';

/** A startup kit as a bundle holds it. */
export interface SealedKit {
  /** What whoever runs the host can read: paths below `nvflare/`, sorted. */
  plain: string[];
  /** What the disk key alone opens, likewise. */
  sealed: string[];
  /** A folder with both, as the workload finds it at /user_config/nvflare. */
  folder: string;
}

/** Takes the kit out of an unpacked bundle. The folder lies in `work`. */
export async function kitOf(bundle: string, keyFile: string, work: string): Promise<SealedKit> {
  const top = await mkdtemp(join(work, 'kit-'));
  await copyFromDrive(join(bundle, 'user_config.qcow2'), ['/nvflare'], join(top, 'plain'), {
    ...{ recursive: true, verify: true },
    ...{ progress: () => {}, warn: () => {} },
  });
  await using source = await openSource(bundle);
  const inside = await lookInside(source, { key: await readKeyFile(keyFile) });
  const payload = await openPayload(bundle, inside);
  const site = payload.segments.find(({ name }) => name === 'site')!;
  const { file } = await payload.extract(site, top);
  await mkdir(join(top, 'site'));
  await execa('rdsquashfs', ['--unpack-path', '/', '--unpack-root', join(top, 'site'), '--quiet', file]);
  const [plain, sealed] = [join(top, 'plain'), join(top, 'site/usr/lib/cvm/user_config.sealed/nvflare')];
  const folder = join(top, 'whole');
  for (const part of [plain, sealed]) await cp(part, folder, { recursive: true });
  return { plain: await filesIn(plain), sealed: await filesIn(sealed), folder };
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return paths.map((path) => path.slice(folder.length + 1)).sort();
}

/** Whether a private key is that of a certificate, and the certificate's subject and issuer. */
export async function identityOf(kit: string, name: 'server' | 'client') {
  const certificate = join(kit, `startup/${name}.crt`);
  const openssl = async (...args: string[]) => (await execa('openssl', args)).stdout;
  const publicKey = await openssl('pkey', '-in', join(kit, `startup/${name}.key`), '-pubout');
  const names = await openssl(
    'x509',
    '-in',
    certificate,
    '-noout',
    '-subject',
    '-issuer',
    '-nameopt',
    'RFC2253',
  );
  return {
    fits: publicKey === (await openssl('x509', '-in', certificate, '-noout', '-pubkey')),
    subject: /^subject=.*\bCN=([^,\n]+)/m.exec(names)?.[1],
    issuer: /^issuer=.*\bCN=([^,\n]+)/m.exec(names)?.[1],
    chains: (await openssl('verify', '-CAfile', join(kit, 'startup/rootCA.pem'), certificate)).endsWith(
      ': OK',
    ),
    target: JSON.parse(await readFile(join(kit, `startup/fed_${name}.json`), 'utf8')).servers[0].service
      .target,
  };
}
