import { pipeline } from 'node:stream/promises';
import { catFile } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { manyLines } from '../../report/text.ts';
import { requirePlace } from './place.ts';

/** `cvm drive cat`: the bytes as they are, but for a terminal, which gets no control characters. */
export async function catCommand(text: string): Promise<void> {
  using interruption = handleSignals();
  const { drive, path } = requirePlace(text);
  const content = catFile(drive, path, interruption.signal);
  const shown = process.stdout.isTTY ? harmless(content) : content;
  await pipeline(shown, process.stdout, { end: false });
}

/** Characters after which a line is broken: it is held until its end, and may have none. */
const longestLine = 65_536;

async function* harmless(content: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of content) {
    rest += decoder.decode(piece, { stream: true });
    const end = rest.lastIndexOf('\n') + 1 || (rest.length > longestLine ? rest.length : 0);
    if (end > 0) yield `${manyLines(rest.slice(0, end))}\n`;
    rest = rest.slice(end);
  }
  rest += decoder.decode();
  if (rest !== '') yield `${manyLines(rest)}\n`;
}
