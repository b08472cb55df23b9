/**
 * Compares versions as dpkg does (deb-version(7)): runs of digits by value, other runs with letters before all else, and `~`
 * before the end.
 * @returns a negative number where `a` is older, a positive one where it is newer
 */
export function compareVersions(a: string, b: string): number {
  const rank = (text: string, at: number) => {
    const c = text[at];
    if (c === '~') return -1;
    if (c === undefined || /[0-9]/.test(c)) return 0;
    return /[A-Za-z]/.test(c) ? c.charCodeAt(0) : c.charCodeAt(0) + 256;
  };
  const notDigit = (text: string, at: number) => at < text.length && !/[0-9]/.test(text[at]!);
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    while (notDigit(a, i) || notDigit(b, j)) {
      const difference = rank(a, i) - rank(b, j);
      if (difference !== 0) return difference;
      i += 1;
      j += 1;
    }
    const [x, y] = [/^[0-9]*/.exec(a.slice(i))![0], /^[0-9]*/.exec(b.slice(j))![0]];
    const [m, n] = [x.replace(/^0+/, ''), y.replace(/^0+/, '')];
    if (m.length !== n.length) return m.length - n.length;
    if (m !== n) return m < n ? -1 : 1;
    i += x.length;
    j += y.length;
  }
  return 0;
}
