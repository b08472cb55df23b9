import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** What is known of one code of the guest. */
export interface Explanation {
  /** `E35`. */
  code: string;
  /** One clause, such as `the KBS gave no key`. */
  title: string;
  /** Plain text of several lines: causes, and what to do. */
  text: string;
}

/** The page that explains the codes; nothing else in the project does. */
const page = fileURLToPath(new URL('../../../docs/troubleshooting.md', import.meta.url));

/** Every code that docs/troubleshooting.md explains. */
export async function readExplanations(): Promise<Map<string, Explanation>> {
  return parseExplanations(await readFile(page, 'utf8'));
}

/** Sections `### E35: title` of a Markdown text, each up to the next heading. */
export function parseExplanations(markdown: string): Map<string, Explanation> {
  const found = new Map<string, Explanation>();
  for (const section of markdown.split(/^(?=#{1,6} )/m)) {
    const [, code, title, body] = /^### (E\d\d): ([^\n]*)\n([\s\S]*)$/.exec(section) ?? [];
    if (code !== undefined) found.set(code, { code, title: plain(title!), text: plain(body!.trim()) });
  }
  return found;
}

/** Text as a terminal shows it best: of a link only its words, no marks of emphasis. */
function plain(markdown: string): string {
  return markdown
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('**', '')
    .replaceAll(/(^|[\s(])\*([^*\n]+(?:\n[^*\n]+)?)\*/g, '$1"$2"');
}
