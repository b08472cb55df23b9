/**
 * What a terminal shows after it was sent `data`: lines without trailing blanks, and whether the cursor is
 * visible. Knows the sequences that a line editor uses; any other is an error, so that garbage is noticed.
 */
export function screen(data: string): { lines: string[]; cursorShown: boolean; coloured: boolean } {
  const rows: string[][] = [[]];
  let row = 0;
  let column = 0;
  let cursorShown = true;
  let coloured = false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what a terminal reads
  const tokens = data.matchAll(/\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])|([\s\S])/gu);
  for (const [token, argument, final, character] of tokens) {
    if (final === undefined) {
      if (character === '\n') row += 1;
      else if (character === '\r') column = 0;
      else if (character === undefined || character < ' ')
        throw new Error(`unexpected ${JSON.stringify(token)}`);
      else rows[row]?.splice(column++, 1, character);
    } else if (final === 'm') coloured = true;
    else if (final === 'K' && argument === '2') rows[row] = [];
    else if (final === 'A') row = Math.max(0, row - Number(argument || 1));
    else if (final === 'G') column = Math.max(0, Number(argument || 1) - 1);
    else if (argument === '?25' && (final === 'l' || final === 'h')) cursorShown = final === 'h';
    else throw new Error(`unexpected ${JSON.stringify(token)}`);
    rows[row] ??= [];
  }
  const lines = Array.from(rows, (cells) =>
    Array.from(cells ?? [], (cell) => cell ?? ' ')
      .join('')
      .trimEnd(),
  );
  return { lines: lines.filter((line) => line !== ''), cursorShown, coloured };
}
