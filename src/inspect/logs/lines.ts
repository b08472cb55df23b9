/** Lines of a log as text, one after another; a log may be one line of many megabytes, or many millions of short ones. */
export function* logLines(content: Buffer): Generator<string> {
  for (let from = 0; from < content.length; ) {
    const found = content.indexOf(0x0a, from);
    const end = found === -1 ? content.length : found;
    yield content.toString('utf8', from, end);
    from = end + 1;
  }
}
