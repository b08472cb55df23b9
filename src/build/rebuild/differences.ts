/**
 * Names what differs between two values, as `path: old -> new`, a line each. Lists count as one value.
 */
export function differences(before: unknown, after: unknown, path = ''): string[] {
  if (isMap(before) && isMap(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
  }
  const [was, is] = [shown(before), shown(after)];
  return was === is ? [] : [`${path}: ${was} -> ${is}`];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}
