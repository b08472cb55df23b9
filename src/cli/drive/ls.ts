import { listFiles } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { jsonText, oneLine } from '../../report/text.ts';
import { parsePlace } from './place.ts';

/** `cvm drive ls`. What the drive says is printed without control characters. */
export async function listCommand(
  text: string,
  flags: { recursive?: boolean; json?: boolean },
): Promise<void> {
  using interruption = handleSignals();
  const { drive, path } = parsePlace(text) ?? { drive: text, path: '/' };
  const options = { recursive: flags.recursive ?? false, signal: interruption.signal };
  for await (const entry of listFiles(drive, path, options)) {
    const { mode, uid, gid, size, changed, target } = entry;
    const owner = `${uid}:${gid}`.padEnd(11);
    const name = oneLine(target === undefined ? entry.path : `${entry.path} -> ${target}`);
    const line = flags.json
      ? jsonText(entry)
      : `${mode} ${owner} ${String(size).padStart(13)} ${changed.slice(0, 16).replace('T', ' ')} ${name}`;
    if (!process.stdout.write(`${line}\n`)) await new Promise((done) => process.stdout.once('drain', done));
  }
}
