import { StringDecoder } from 'node:string_decoder';

/** Follows a guest's console line by line. What a guest prints is hostile to a terminal: only text passes. */
export class ConsoleReader {
  readonly #decoder = new StringDecoder('utf8');
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-8192);
    for (const line of lines) this.#onLine(plain(line));
  }

  end(): void {
    if (this.#rest !== '') this.#onLine(plain(this.#rest));
    this.#rest = '';
  }
}

/** Without colours, cursor movements and other control characters. */
function plain(line: string): string {
  return (
    line
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      .replaceAll(/\u001b(\[[0-9;?=]*[ -/]*[@-~]|[()][A-Z0-9]|[^[()])/g, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
  );
}
