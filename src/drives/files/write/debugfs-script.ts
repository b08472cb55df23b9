import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../../host/errors.ts';
import { start, toolError } from '../../../host/run.ts';

/** Longest line that debugfs reads from a script (BUFSIZ), in bytes. */
const longestLine = 8000;

/**
 * Why debugfs cannot be given a name or the target of a link, completing *it …*; undefined where it can. Its scripts know no
 * escape for a line break.
 * @param word a byte string
 */
export function unusableWord(word: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\x00-\x1f\x7f]/.test(word)) return 'holds a control character';
  if (word === '') return 'is empty';
  return word.length > 4000 ? 'is too long' : undefined;
}

/** A name or target, a byte string, as one word of a debugfs command: a quote is doubled, as libss reads it. */
export function quoted(word: string): string {
  return `"${word.replaceAll('"', '""')}"`;
}

/** The same for a command that takes an inode as well, which it writes `<2>`: a file may have such a name. */
export function here(name: string): string {
  return quoted(`./${name}`);
}

/**
 * Carries out commands on an image, all or, as far as the caller's answer to the error goes, none: debugfs goes on after a
 * command that failed, so that the image must be thrown away then.
 * @param commands byte strings
 * @param image path of the file; its folder is the working directory, where `write` finds its sources
 * @throws UserError with debugfs's own words
 */
export async function runDebugfs(
  image: string,
  folder: string,
  commands: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const script = join(folder, 'commands');
  const long = commands.find((command) => command.length > longestLine || command.includes('\n'));
  if (long !== undefined) throw new Error(`debugfs cannot read the command ${JSON.stringify(long)}`);
  await writeFile(script, `${commands.join('\n')}\n`, { mode: 0o600, encoding: 'latin1' });
  const args = ['-w', '-f', script, image];
  const options = { signal, cwd: folder };
  try {
    const { stderr } = await start('debugfs', args, options, { stdout: 'ignore' });
    // It ends with status 0 whatever its commands did; after its version line it must have said nothing.
    const complaints = String(stderr).split('\n').slice(1);
    if (complaints.length > 0)
      throw new UserError(`debugfs ended with: ${complaints.slice(0, 3).join(' | ')}`);
  } catch (error) {
    throw toolError('debugfs', args, error, options);
  } finally {
    await rm(script, { force: true });
  }
}
