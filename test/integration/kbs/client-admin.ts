import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newDiskKey } from '../../../src/host/secret.ts';
import { type AdminCredential, readCredential } from '../../../src/kbs/client/credential.ts';
import { type Kbs, openKbs } from '../../../src/kbs/client/kbs.ts';
import type { PushInput } from '../../../src/kbs/client/push.ts';
import {
  type DevelopmentKbs,
  type DevelopmentKbsOptions,
  startDevelopmentKbs,
} from '../../../src/kbs/dev-kbs/index.ts';
import { writeHandoff } from '../../../src/kbs/handoff.ts';
import { writePolicy } from '../../../src/kbs/policy/policy.ts';
import type { ImageRecord } from '../../../src/kbs/registry/record.ts';
import { addImage } from '../../../src/kbs/registry/registry.ts';
import { imageOf } from '../../unit/kbs/records.ts';

/** A KBS of one era, and an administrator with a production registry who has built images for it. */
export interface AdminSite extends AsyncDisposable {
  folder: string;
  kbs: DevelopmentKbs;
  ca: string;
  credential: AdminCredential;
  policyDirectory: string;
  handoff: string;
  /** Lines of the KBS's log. */
  log: string[];
  notes: string[];
  warnings: string[];
  client(more?: Partial<Parameters<typeof openKbs>[0]>): Kbs;
  /** Registers an image as a build does. @returns it, its key and its key file. */
  build(number: number): Promise<{ image: ImageRecord; key: string; keyFile: string }>;
  pushInput(more?: Partial<PushInput>): PushInput;
}

export async function adminSite(options: Partial<DevelopmentKbsOptions> = {}): Promise<AdminSite> {
  const folder = await mkdtemp(join(tmpdir(), 'client-admin-'));
  const [registryDirectory, policyDirectory, handoff] = ['empty', 'policy', 'handoff'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  for (const path of [registryDirectory, policyDirectory]) await mkdir(path);
  const log: string[] = [];
  const notes: string[] = [];
  const warnings: string[] = [];
  const kbs = await startDevelopmentKbs({
    stateDirectory: join(folder, 'state'),
    registryDirectory,
    inMemory: true,
    log: (line) => log.push(line),
    ...options,
  });
  const ca = await readFile(kbs.caFile, 'utf8');
  const { credential } = await readCredential({ keyFile: kbs.adminKeyFile });
  const site: AdminSite = {
    folder,
    kbs,
    ca,
    credential: credential!,
    policyDirectory,
    handoff,
    log,
    notes,
    warnings,
    client: (more) => openKbs({ url: kbs.url, ca, credential, retryAfterMs: [10, 10], ...more }),
    async build(number) {
      const image = imageOf(number);
      const secret = newDiskKey();
      const { keyFile } = await writeHandoff(join(handoff, `cvm_${image.id}`), {
        record: image,
        key: secret,
      });
      await addImage(policyDirectory, image);
      await writePolicy(policyDirectory);
      return { image, key: secret.reveal().toString(), keyFile };
    },
    pushInput: (more) => ({
      kbs: { url: kbs.url, ca, credential: site.credential, retryAfterMs: [10, 10] },
      policyDirectory,
      policy: () => writePolicy(policyDirectory),
      keyFolders: [handoff],
      resourcePrefix: 'keys/root',
      acceptInsecure: false,
      signal: new AbortController().signal,
      note: (text) => notes.push(text),
      warn: (text) => warnings.push(text),
      ...more,
    }),
    async [Symbol.asyncDispose]() {
      await kbs.close();
      await rm(folder, { recursive: true });
    },
  };
  return site;
}

/** A file of builder.yml for this site. */
export async function builderFile(site: AdminSite, more: Record<string, unknown> = {}): Promise<string> {
  const file = join(site.folder, 'builder.yml');
  const kbs = { url: site.kbs.url, ca: site.kbs.caFile, admin_key: site.kbs.adminKeyFile, ...more };
  const settings = { kbs, policy_directory: site.policyDirectory, output: site.folder };
  await writeFile(file, JSON.stringify(settings));
  return file;
}
