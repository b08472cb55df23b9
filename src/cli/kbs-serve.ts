import { developmentState } from '../build/settings.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { handleSignals } from '../host/signals.ts';
import { startDevelopmentKbs } from '../kbs/dev-kbs/index.ts';
import { portNumber } from './arguments.ts';

export interface KbsServeFlags {
  listen: string;
  digest?: string;
  opa?: string;
}

/** `cvm kbs serve`: the development KBS in the foreground, until interrupted. */
export async function kbsServeCommand(flags: KbsServeFlags): Promise<void> {
  using interruption = handleSignals();
  const listen = /^(.+):(\d{1,5})$/.exec(flags.listen);
  if (listen === null) {
    throw new UserError(`cannot listen on ${JSON.stringify(flags.listen)}: it is not <host>:<port>`, {
      status: exitStatus.usage,
    });
  }
  const state = developmentState();
  const kbs = await startDevelopmentKbs({
    stateDirectory: state,
    registryDirectory: state,
    listen: { host: listen[1]!, port: portNumber('--listen', listen[2]!) },
    digest: flags.digest?.toLowerCase(),
    opa: flags.opa,
    log: (line) => process.stdout.write(`${line}\n`),
  });
  process.stdout.write(`development KBS at ${kbs.url}, certificate authority ${kbs.caFile}\n`);
  if (flags.digest === undefined)
    process.stdout.write('no --digest: every request for a key will be refused\n');
  await new Promise((resolve) => interruption.signal.addEventListener('abort', resolve, { once: true }));
  await kbs.close();
}
