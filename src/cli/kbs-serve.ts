import { developmentState } from '../build/policy-place.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { type EraName, parseFault, startDevelopmentKbs } from '../kbs/dev-kbs/index.ts';
import { portNumber } from './arguments.ts';

export interface KbsServeFlags {
  listen: string;
  era?: string;
  digest?: string;
  opa?: string;
  inMemory?: boolean;
  shippedPolicy?: boolean;
  insecureTokens?: boolean;
  insecureApi?: boolean;
  sampleClaims?: boolean;
  fault?: string[];
}

/** `cvm kbs serve`: the development KBS in the foreground, until interrupted. */
export async function kbsServeCommand(flags: KbsServeFlags): Promise<void> {
  using interruption = handleSignals();
  const state = developmentState();
  const { inMemory, shippedPolicy, insecureTokens, insecureApi } = flags;
  const write = (line: string) => process.stdout.write(`${line}\n`);
  await using kbs = await startDevelopmentKbs({
    stateDirectory: state,
    registryDirectory: state,
    listen: address(flags.listen),
    era: eraOf(flags.era),
    digest: flags.digest?.toLowerCase(),
    claims: flags.sampleClaims ? 'sample' : 'snp',
    opa: flags.opa,
    inMemory,
    shippedPolicy,
    insecureTokens,
    insecureApi,
    faults: (flags.fault ?? []).map(parseFault),
    log: write,
  });
  write(`development KBS (${kbs.era}) at ${kbs.url}, certificate authority ${kbs.caFile}`);
  write(`administrator's key ${kbs.adminKeyFile}`);
  if (flags.digest === undefined && !flags.sampleClaims) {
    write('no --digest: every request for a key will be refused');
  }
  if (insecureTokens) write('--insecure-tokens: forged attestation tokens are accepted');
  if (insecureApi) write('--insecure-api: everyone may administer');
  await new Promise((resolve) => interruption.signal.addEventListener('abort', resolve, { once: true }));
}

function address(text: string): { host: string; port: number } {
  const listen = /^(.+):(\d{1,5})$/.exec(text);
  if (listen !== null) return { host: listen[1]!, port: portNumber('--listen', listen[2]!) };
  throw new UserError(`cannot listen on ${JSON.stringify(text)}: it is not <host>:<port>`, {
    status: exitStatus.usage,
  });
}

function eraOf(text = 'field'): EraName {
  if (text === 'field' || text === 'main') return text;
  throw new UserError(`cannot serve the era ${JSON.stringify(text)}: it is neither field nor main`, {
    status: exitStatus.usage,
  });
}
