import { join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import {
  createdNow,
  describeFiles,
  type Manifest,
  manifestVersion,
  writeLaunchScript,
  writeManifest,
  writeReadme,
} from '../bundle/index.ts';
import type { AcceptedFirmware } from './accept-firmware.ts';
import type { Identity } from './identity.ts';
import type { KeyBroker } from './key-broker.ts';
import type { BuildSettings } from './settings.ts';

/** Adds what the drives, kernel and initrd lack to be a bundle: firmware, launch script, README and manifest. */
export async function completeBundle(
  settings: BuildSettings,
  parts: { identity: Identity; firmware: AcceptedFirmware; launch: Manifest['launch']; broker: KeyBroker },
  signal: AbortSignal,
): Promise<Manifest> {
  const { identity, firmware, launch, broker } = parts;
  const { folder, id, resource } = identity;
  const { name, kind } = settings;
  const { allowedPorts, userDataWritable } = settings.site;
  const about = {
    id,
    name,
    kind,
    builder_version: packageJson.version,
    created: createdNow(),
    launch,
    firmware: {
      sha256: firmware.parsed.sha256,
      ...firmware.verdict,
      ...(firmware.accepted ? { accepted: true as const } : {}),
    },
    kbs: { url: broker.url, resource },
  };
  await firmware.writeTo(join(folder, 'OVMF.amdsev.fd'));
  await writeLaunchScript(folder, { id, kind, launch, allowedPorts, userDataWritable });
  await writeReadme(folder, { ...about, allowedPorts });
  const files = await describeFiles(folder, { signal });
  const manifest = { schema_version: manifestVersion, ...about, files } satisfies Manifest;
  await writeManifest(folder, manifest);
  return manifest;
}
