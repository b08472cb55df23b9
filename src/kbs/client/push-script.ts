import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { exitStatus, hasCode, messageOf, UserError } from '../../host/errors.ts';
import { shellLine, spawnOptions } from '../../host/run.ts';
import type { KeyToPush, PolicyText } from './push-plan.ts';

/** Name of the administrator's own script in the policy directory. */
export const pushScriptName = 'set-policy.sh';

export interface PushScriptInput {
  policyDirectory: string;
  policy: PolicyText;
  keys: readonly KeyToPush[];
  /**
   * Told to the script as `CVM_KBS_URL`, `CVM_KBS_CA`, `CVM_KBS_ADMIN_KEY`, `CVM_KBS_ADMIN_TOKEN`,
   * `CVM_KBS_CLIENT`: an address and absolute paths of files, nothing secret itself.
   */
  kbs: {
    url?: string | undefined;
    caFile?: string | undefined;
    adminKeyFile?: string | undefined;
    adminTokenFile?: string | undefined;
    client?: string | undefined;
  };
  signal: AbortSignal;
  /** Gets each line that the script prints. Show it as text from outside. */
  output: (line: string) => void;
}

/**
 * Runs the script as `set-policy.sh POLICY [RESOURCE_PATH KEY_FILE]...` in the policy directory. The script
 * removes each key file once the KBS holds the key; one that ignores the keys, as scripts of an older builder
 * do, so loses none.
 * @returns the key files that are still there.
 * @throws UserError where there is no script, others could have written it, or it ends with another status
 * than 0.
 */
export async function runPushScript(input: PushScriptInput): Promise<{ left: string[] }> {
  const { policyDirectory, policy, keys, kbs, signal, output } = input;
  const script = join(policyDirectory, pushScriptName);
  await refuseForeign(script);
  const args = [policy.path, ...keys.flatMap(({ image, file }) => [image.resourcePath, file])];
  const env = {
    CVM_KBS_URL: kbs.url,
    CVM_KBS_CA: kbs.caFile,
    CVM_KBS_ADMIN_KEY: kbs.adminKeyFile,
    CVM_KBS_ADMIN_TOKEN: kbs.adminTokenFile,
    CVM_KBS_CLIENT: kbs.client,
  };
  const given = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  try {
    const process = execa(script, args, {
      ...spawnOptions({ cwd: policyDirectory, signal, env: Object.fromEntries(given) }),
      all: true,
      buffer: false,
    });
    for await (const line of process.iterable({ from: 'all' })) output(line);
    await process;
  } catch (error) {
    signal.throwIfAborted();
    const { exitCode, signal: killed } = error as { exitCode?: number; signal?: string };
    const how =
      exitCode !== undefined
        ? `it ended with status ${exitCode}`
        : killed !== undefined
          ? `it was killed by ${killed}`
          : messageOf(error);
    throw new UserError(`cannot push with ${script}: ${how}`, {
      hint: `the command was: ${shellLine(script, args)}`,
      cause: error,
    });
  }
  const left: string[] = [];
  for (const { file, copies, unfinished } of keys) {
    for (const each of [file, ...copies, ...unfinished]) if (await exists(each)) left.push(each);
  }
  return { left };
}

/** The script gets to see keys: neither it nor its folder may be another account's to change. */
async function refuseForeign(script: string): Promise<void> {
  const cannot = (cause: string, hint: string) =>
    new UserError(`cannot push with ${script}: ${cause}`, { hint, status: exitStatus.usage });
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(script);
  } catch (error) {
    if (!hasCode(error, 'ENOENT'))
      throw cannot(messageOf(error), 'check owner and mode of the policy directory');
    throw cannot(
      'there is no such file',
      `copy templates/${pushScriptName} there and make it executable, or set kbs.push to auto`,
    );
  }
  if (!found.isFile() || (found.mode & 0o111) === 0)
    throw cannot('it is not executable', `chmod 755 ${script}`);
  const mine = [0, process.getuid?.() ?? 0];
  if ((found.mode & 0o022) !== 0) {
    throw cannot(
      'other accounts may write it, and it is shown keys',
      `look through it, then chmod 755 ${script}`,
    );
  }
  if (!mine.includes(found.uid)) {
    throw cannot('it belongs to another account, and is shown keys', 'let it belong to you or to root');
  }
  const folder = await stat(dirname(script));
  const sticky = (folder.mode & 0o1000) !== 0;
  if ((folder.mode & 0o002) !== 0 && !sticky) {
    throw cannot('every account may replace it in its folder', `chmod o-w ${dirname(script)}`);
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
