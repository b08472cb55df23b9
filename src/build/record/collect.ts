import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import type { Base } from '../../base/index.ts';
import { type Manifest, manifestText } from '../../bundle/index.ts';
import { sha256File } from '../../host/files.ts';
import type { Workload } from '../../workload/index.ts';
import type { AcceptedFirmware } from '../accept-firmware.ts';
import { imageToImport } from '../imported-base.ts';
import type { KeyBroker } from '../key-broker.ts';
import type { BuildSettings } from '../settings.ts';
import { builderCode } from './builder-code.ts';
import { type BuildRecord, buildRecordVersion } from './schema.ts';

/** What the tasks of a build worked with. */
export interface BuiltFrom {
  manifest: Manifest;
  base: Base;
  firmware: AcceptedFirmware;
  workload: Workload;
  /** See `treeDigest`. */
  kit: { digest: string };
  broker: KeyBroker;
  /** The parts of the initrd that sites share: files of cache entries. */
  genericInitrd: readonly string[];
}

/** The record of a build: what its tasks read, not what lies at the same places by now. */
export async function buildRecord(
  settings: BuildSettings,
  from: BuiltFrom,
  signal: AbortSignal,
): Promise<BuildRecord> {
  const { manifest, base, firmware, workload, broker } = from;
  const { project, read } = settings;
  const fileOf = async (path: string | undefined) =>
    path === undefined ? undefined : { path, sha256: (await sha256File(path, { signal })).hex };
  const { client } = broker;
  const kbsClient =
    client.kind === 'production' ? client.programs.find(({ name }) => name === 'kbs-client') : undefined;
  const snpguest = await fileOf(broker.snpguest);
  const image = imageToImport(settings)?.file;
  return {
    version: buildRecordVersion,
    id: manifest.id,
    name: manifest.name,
    kind: manifest.kind,
    ...(project === undefined ? {} : { project }),
    builder_version: manifest.builder_version,
    builder_sha256: await builderCode(),
    manifest_sha256: sha256Text(manifestText(manifest)),
    created: manifest.created,
    cc_config: read.ccConfig,
    builder: {
      ...(read.builderFile === undefined ? {} : { path: read.builderFile }),
      values: read.builderValues,
    },
    inputs: {
      docker_archive: { path: settings.dockerArchive, sha256: workload.archiveSha256 },
      user_config: { folders: { ...settings.userConfig }, sha256: from.kit.digest },
      base: { id: base.id, origin: base.origin, ...(image === undefined ? {} : { image }) },
      firmware: { path: firmware.file, sha256: firmware.parsed.sha256, accepted: firmware.accepted },
      ...(kbsClient === undefined ? {} : { kbs_client: { path: kbsClient.file, sha256: kbsClient.sha256 } }),
      ...(snpguest === undefined ? {} : { snpguest }),
      kbs_ca: { sha256: sha256Text(broker.ca) },
      initrd_parts: from.genericInitrd.map((file) => basename(dirname(file))),
    },
  };
}

export function sha256Text(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
