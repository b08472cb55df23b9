import { createInterface } from 'node:readline/promises';
import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { type Adoption, adopt, planAdoption } from '../../kbs/policy/index.ts';
import { manyLines, oneLine } from '../../report/text.ts';
import { commandPlace, type DirectoryFlags } from './directory.ts';

export interface AdoptFlags extends DirectoryFlags {
  /** Resource path of the one image whose entry names none. */
  resource?: string;
  /** `<first characters of a digest>=<resource path>`. */
  map?: string[];
  /** Apply without asking. */
  yes?: boolean;
}

/** `cvm policy adopt [FILE]`: shows what taking over an older builder's entries changes, asks, and does it. */
export async function adoptCommand(file: string | undefined, flags: AdoptFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const { directory, kind, policyOptions } = await commandPlace(flags);
  if (kind === 'development') {
    throw new UserError('cannot adopt into the development registry: older builders made production images', {
      status: exitStatus.usage,
    });
  }
  const { resource } = flags;
  const map = flags.map?.map(readMapping);
  const request = { ...policyOptions, file, resource, map, now: new Date(), signal };
  const plan = await planAdoption(directory, request);
  process.stdout.write(planText(plan));
  if (!flags.yes && !(await isAgreed(plan, signal))) {
    process.stdout.write('nothing was changed\n');
    process.exitCode = exitStatus.failed;
    return;
  }
  const done = await adopt(directory, request, plan.diff);
  for (const warning of done.warnings) process.stderr.write(`warning: ${oneLine(warning)}\n`);
  process.stdout.write(`${[`wrote ${done.path}`, ...done.notes].map(oneLine).join('\n')}\n`);
}

/** @throws UserError where it is not `<prefix>=<path>`. Base64 may hold `=` at its end only, and digests fill theirs. */
function readMapping(text: string): { prefix: string; path: string } {
  const [, prefix, path] = /^([A-Za-z0-9+/]+)=(.+)$/.exec(text) ?? [];
  if (prefix !== undefined && path !== undefined) return { prefix, path };
  throw new UserError(
    `cannot use --map ${JSON.stringify(text)}: it is not <first characters of a digest>=<path>`,
    {
      status: exitStatus.usage,
    },
  );
}

function planText({ diff, entries }: Adoption): string {
  const fates = { new: 'is registered', known: 'is registered already', retired: 'is retired, and stays so' };
  const images = new Map(
    entries.map(({ image, path, fate }) => [image, `image ${image}, ${path}, ${fates[fate]}`]),
  );
  return `${manyLines(diff)}\n\n${[...images.values()].map(oneLine).join('\n')}\n`;
}

async function isAgreed({ path }: Adoption, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new UserError(`cannot change ${path} without asking: this is no terminal`, {
      hint: 'look at the changes above, then give --yes',
    });
  }
  using ask = createInterface({ input: process.stdin, output: process.stdout });
  // In raw mode readline gets Ctrl-C itself; handing it on leaves one way of being interrupted.
  ask.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const question = ask.question('Change the registry and the policy in this way? [y/N] ', { signal });
  const answer = await question.catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  return /^y(?:es)?$/i.test(answer.trim());
}
