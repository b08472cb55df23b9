import { type CopyOptions, type CopyResult, copyFromDrive, copyToDrive } from '../../drives/index.ts';
import { graph } from '../../graph/graph.ts';
import { exitStatus, UserError } from '../../host/errors.ts';
import { handleSignals } from '../../host/signals.ts';
import { openReport } from '../../report/report.ts';
import { bytesText } from '../../report/text.ts';
import { parseOwner, parsePlace, requireOneDrive } from './place.ts';
import { rateText } from './rate.ts';
import { sealedWarning } from './sealed.ts';

export interface CopyFlags {
  recursive?: boolean;
  owner?: string;
  verify?: boolean;
}

interface Copy {
  run: (options: CopyOptions) => Promise<CopyResult>;
  flags: Pick<CopyOptions, 'recursive' | 'verify' | 'owner'>;
  /** Called for what is left out. */
  leftOut: () => void;
}

const single = graph<Copy>();
const task = single.task('copy', {
  title: 'Copy',
  run: async ({ options, signal, progress, warn }) => {
    const text = { copying: rateText(), verifying: rateText() };
    let last = 0;
    return await options.run({
      ...options.flags,
      signal,
      warn: (line) => {
        options.leftOut();
        warn(line);
      },
      progress: (phase, done, total) => {
        // Ten times a second is enough for eyes.
        const now = performance.now();
        if (now - last < 100 && done < total) return;
        last = now;
        progress(`${phase === 'verifying' ? 'verifying: ' : ''}${text[phase](done, total)}`);
      },
    });
  },
});

/**
 * `cvm drive cp`. Ends with status 1 where something was left out.
 * @param paths sources, and last the target
 */
export async function copyCommand(paths: readonly string[], flags: CopyFlags): Promise<void> {
  using interruption = handleSignals();
  const report = await openReport();
  try {
    let leftOut = 0;
    const run = copyOf(paths.slice(0, -1), paths.at(-1)!);
    const target = parsePlace(paths.at(-1)!);
    const warning = target && sealedWarning(target.drive);
    if (warning !== undefined) report.warn(warning);
    const options: Copy = {
      run,
      flags: {
        recursive: flags.recursive ?? false,
        verify: flags.verify ?? false,
        owner: flags.owner === undefined ? undefined : parseOwner(flags.owner),
      },
      leftOut: () => leftOut++,
    };
    const request = { options, targets: { copy: task }, signal: interruption.signal, events: report.events };
    const { copy } = await single.run(request);
    const alike =
      copy.alike === 0 ? '' : `, ${copy.alike} ${copy.alike === 1 ? 'was' : 'were'} there already`;
    const verified = flags.verify ? ', verified' : '';
    if (leftOut > 0) process.exitCode = exitStatus.failed;
    const files = `${copy.files} ${copy.files === 1 ? 'file' : 'files'}`;
    await report.result(`Copied ${files}, ${bytesText(copy.bytes)}${alike}${verified}`);
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}

function copyOf(from: readonly string[], to: string): Copy['run'] {
  if (from.length === 0)
    throw new UserError(`cannot copy ${to}: it is not said to where`, { status: exitStatus.usage });
  const target = parsePlace(to);
  const places = from.map(parsePlace);
  if (target !== undefined && places.every((place) => place === undefined))
    return (options) => copyToDrive(from, target.drive, target.path, options);
  if (target === undefined && places.every((place) => place !== undefined)) {
    const { drive, paths } = requireOneDrive(from);
    return (options) => copyFromDrive(drive, paths, to, options);
  }
  throw new UserError('cannot copy: either the sources or the target must be on a drive, and not both', {
    hint: 'for example: cvm drive cp -r /training_data user_data.qcow2:/',
    status: exitStatus.usage,
  });
}
