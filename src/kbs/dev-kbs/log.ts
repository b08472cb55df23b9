/** One request, for the log. */
export interface LogEntry {
  /** Milliseconds since 1970. */
  time: number;
  method: string;
  /** Path and query, as the client wrote them. */
  uri: string;
  /** Status of the answer; undefined where the connection was closed instead. */
  status: number | undefined;
  who: 'none' | 'admin' | 'attested';
  /** Type of the error and its reason. */
  note: string;
}

/** Longest path that is worth a line. */
const longest = 300;

/**
 * A request as one line: time, method, path, status, who asked, what was wrong. Of the request only its method and
 * path are told: no query, no header, no body. Both, and the note, may hold the client's own text: no control
 * characters get into the log.
 */
export function logLine({ time, method, uri, status, who, note }: LogEntry): string {
  const [path = '', query] = uri.split('?', 2);
  const shown = `${path.slice(0, longest)}${path.length > longest ? '…' : ''}${query === undefined ? '' : '?…'}`;
  const words = [new Date(time).toISOString(), method, shown, status ?? 'closed', who, note];
  return JSON.stringify(words.join(' ').trimEnd()).slice(1, -1).replaceAll('\\"', '"');
}
