import type { Progress } from '../graph/events.ts';

/**
 * Text from outside (file names, tools' last words) as one harmless line: blanks for line breaks,
 * control and direction characters spelled out, so that a crafted name cannot drive the terminal, and nothing that
 * FLARE would take for the line which says that a bundle is ready.
 */
export function oneLine(text: string): string {
  return text
    .toWellFormed()
    .trim()
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .replaceAll('\t', ' ')
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, spelled)
    .replace(/CVM Bundle(?=\s)/g, 'CVM bundle');
}

/** The same for text that keeps its lines. */
export function manyLines(text: string): string {
  return text
    .toWellFormed()
    .trimEnd()
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => (character === '\n' ? '\n' : spelled(character)))
    .replace(/CVM Bundle(?=\s)/g, 'CVM bundle');
}

const spelled = (character: string) => `\\u{${character.codePointAt(0)?.toString(16)}}`;

/** JSON in ASCII alone: JSON itself leaves control characters beyond the first 32, and marks of direction, as they are. */
export function jsonText(value: unknown, indent?: number): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, undefined, indent).replaceAll(/[\u007f-\uffff]/g, escaped);
}

/** The text, cut to so many bytes of UTF-8 between characters and marked with `...` where it is longer. */
export function clip(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const cut = new TextDecoder().decode(Buffer.from(text).subarray(0, bytes - 3), { stream: true });
  return `${cut}...`;
}

/** Seconds for people: `0.4 s`, `71 s`, `12 min 5 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** `3.2 GiB` for a count of bytes. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Progress in words: `42 % (1.2 GiB of 2.9 GiB)`. */
export function progressText(progress: Progress): string {
  if (typeof progress === 'string') return oneLine(progress);
  const { done, total, unit } = progress;
  const count =
    unit === 'bytes' ? `${bytesText(done)} of ${bytesText(total)}` : `${done} of ${total} ${oneLine(unit)}`;
  const share = percent(progress);
  return share === undefined ? count : `${share} (${count})`;
}

/** `42 %`, or undefined for progress in words and for a total of nothing. */
export function percent(progress: Progress): string | undefined {
  if (typeof progress === 'string' || progress.total <= 0) return undefined;
  return `${Math.min(100, Math.floor((100 * progress.done) / progress.total))} %`;
}
