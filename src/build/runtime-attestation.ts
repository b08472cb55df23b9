import { templatePath } from '../host/template.ts';
import type { RuntimeAttestation } from '../site/index.ts';
import type { Identity } from './identity.ts';
import type { KeyBroker } from './key-broker.ts';
import type { BuildSettings } from './settings.ts';

/** How long a key broker may be silent at least, in seconds. A development one is not: there is nothing to lose. */
const patience = { production: 3600, development: 0 } as const;

/**
 * How the VM attests again while it runs, where the site asks for it. The broker may be silent for ten times the frequency, and for
 * an hour at least: restarts of the broker and of networks are no attack.
 */
export function runtimeAttestation(
  settings: BuildSettings,
  { identity, broker }: { identity: Identity; broker: KeyBroker },
): RuntimeAttestation | undefined {
  const { runtimeAttestation, checkFrequency } = settings.site;
  if (!runtimeAttestation || checkFrequency === undefined) return undefined;
  return {
    client: clientFile(broker),
    kbsUrl: broker.url,
    kbsPath: identity.resource,
    kbsCa: broker.ca,
    frequency: checkFrequency,
    silence: Math.max(10 * checkFrequency, patience[settings.kind]),
  };
}

function clientFile({ client }: KeyBroker): string {
  if (client.kind === 'development') return templatePath('initrd/kbs-sample-client');
  return client.programs.find(({ name }) => name === 'kbs-client')!.file;
}
