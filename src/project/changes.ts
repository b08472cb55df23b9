import { differences } from '../build/rebuild/differences.ts';
import { kitDigest } from '../build/rebuild/kit-digest.ts';
import type { BuildRecord } from '../build/record/schema.ts';
import type { BuildSettings } from '../build/settings.ts';
import { type CcConfig, parseCcConfig } from '../config/index.ts';
import type { TodaysInputs } from './today.ts';

/**
 * What a build of today would be made from that the recorded one was not; empty where it would be made from the same. Content decides, not
 * time stamps or paths. What can only be told by making it (a base that is not in the cache any more) counts as the same: nobody asked
 * for another, unless `--refresh-base` did.
 */
export async function changesSince(
  record: BuildRecord,
  settings: BuildSettings,
  today: TodaysInputs,
  signal: AbortSignal,
): Promise<string[]> {
  const { inputs } = record;
  const compared = [
    ["the builder's code", record.builder_sha256, today.builderCode],
    ['docker_archive', inputs.docker_archive.sha256, await today.archive(settings.dockerArchive)],
    ['the startup kit', inputs.user_config.sha256, await kitDigest(settings.userConfig, signal)],
    ['the base system', inputs.base.id, today.base ?? (settings.refreshBase ? 'new' : inputs.base.id)],
    ['the firmware', inputs.firmware.sha256, today.firmware ?? inputs.firmware.sha256],
    ['kbs-client', inputs.kbs_client?.sha256, today.kbsClient],
    ['snpguest', inputs.snpguest?.sha256, today.snpguest],
    ["the key broker's certificate", inputs.kbs_ca.sha256, today.kbsCa],
    [
      'shared parts of the initrd',
      inputs.initrd_parts.join(),
      (today.initrdParts ?? inputs.initrd_parts).join(),
    ],
  ] as const;
  const { accepted, sha256 } = inputs.firmware;
  return [
    ...differences(
      valuesOf(parseCcConfig(record.cc_config.text, record.cc_config.path).config),
      valuesOf(settings.site),
    ),
    ...differences(record.builder.values, settings.read.builderValues),
    ...compared.filter(([, was, is]) => was !== is).map(([name]) => `${name} changed`),
    ...(accepted && !settings.acceptFirmware.includes(sha256)
      ? ['its firmware is not accepted any more']
      : []),
  ];
}

/** The settings themselves; archive and kit count by their content. */
function valuesOf(config: CcConfig | undefined): unknown {
  const { dockerArchive: _, userConfig: __, ...values } = config ?? {};
  return values;
}
