import packageJson from '../../package.json' with { type: 'json' };
import { commandLine, createdNow } from '../bundle/index.ts';
import { moduleList, type SitePart } from '../initrd/index.ts';
import { layoutFile, type Seal } from '../seal/index.ts';
import { firewallRules, hostName, hostsFile } from '../site/index.ts';
import { firstId } from '../workload/index.ts';
import { keyBrokerPortNote } from './federation.ts';
import type { Identity } from './identity.ts';
import type { KeyBroker } from './key-broker.ts';
import type { BuildSettings } from './settings.ts';

/** How long InitApp asks for its key: a development KBS runs already, a real one may be late. */
const patience = {
  development: { kbs_attempts: 3, kbs_retry_seconds: 2 },
  production: { kbs_attempts: 30, kbs_retry_seconds: 10 },
} as const;

/**
 * What InitApp is told about one site: all of it is in the initrd, and so measured.
 * @param note is told what is open beside the lists of cc_config
 */
export async function initrdOfSite(
  settings: BuildSettings,
  parts: { identity: Identity; seal: Seal; broker: KeyBroker; user: { uid: number; gid: number } },
  note: (text: string) => void,
): Promise<SitePart> {
  const { kind, site } = settings;
  const { identity, seal, broker, user } = parts;
  const open = keyBrokerPortNote(site.allowedOutPorts, broker.url);
  if (open !== undefined) note(open);
  const name = hostName(settings.name);
  const yesNo = (value: boolean) => (value ? 'yes' : 'no');
  return {
    settings: {
      kind,
      builder_version: packageJson.version,
      cvm_id: identity.id,
      cvm_name: name,
      cmdline: commandLine(identity.id),
      build_time: Math.floor(Date.parse(createdNow()) / 1000),
      kbs_url: broker.url,
      kbs_path: identity.resource,
      ...patience[kind],
      verity_root_hash: seal.rootHash,
      verity_salt: seal.salt,
      verity_hash_offset: seal.hashOffset,
      verity_data_blocks: seal.dataBlocks,
      vault_first_sector: seal.vaultFirstSector,
      vault_integrity: yesNo(site.vaultIntegrity),
      user_data_writable: yesNo(site.userDataWritable),
      workload_uid: user.uid,
      workload_gid: user.gid,
      first_id: firstId,
      system_ram: '25%',
      workload_ram: '50%',
    },
    layout: layoutFile(seal.segments),
    firewall: await firewallRules({
      allowedPorts: site.allowedPorts,
      allowedOutPorts: site.allowedOutPorts,
      kbsUrl: broker.url,
      hosts: site.hosts,
    }),
    hosts: hostsFile(name, site.hosts),
    modules: await moduleList(),
    kbsCa: broker.ca,
    luksHeader: seal.headerFile,
  };
}
