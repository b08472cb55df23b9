/** A constant of a policy. Sets and objects keep the order in which they are written. */
export type Value =
  | string
  | number
  | boolean
  | null
  | readonly Value[]
  | { readonly set: readonly Value[] }
  | { readonly object: readonly (readonly [Value, Value])[] };

const isArray = (value: Value): value is readonly Value[] => Array.isArray(value);

const isSame = (one: Value, other: Value): boolean => JSON.stringify(one) === JSON.stringify(other);

/** What `in` finds in a collection: the items of an array or a set, the values of an object. */
export function membersOf(value: Value): readonly Value[] {
  if (value === null || typeof value !== 'object') return [];
  if (isArray(value)) return value;
  return 'set' in value ? value.set : value.object.map(([, each]) => each);
}

/** What brackets behind a collection take: indices, items of a set, keys of an object. */
export function keysOf(value: Value): readonly Value[] {
  if (value === null || typeof value !== 'object') return [];
  if (isArray(value)) return value.map((_, index) => index);
  return 'set' in value ? value.set : value.object.map(([key]) => key);
}

/** What lies under a key; every one that may, where the key is not known. */
export function selected(value: Value, key: Value | undefined): readonly Value[] {
  const keys = keysOf(value);
  const members = membersOf(value);
  return key === undefined ? members : members.filter((_, index) => isSame(keys[index]!, key));
}

/** Whether a constant names no key of its own: every resource of a key broker begins with these parts, or can. */
export function isEveryPath(value: Value): boolean {
  return partsOf(value).every((part) => part === '' || part === 'resource');
}

function partsOf(value: Value): string[] {
  if (value === null || typeof value !== 'object') return String(value).split('/');
  return [...('object' in value ? keysOf(value) : []), ...membersOf(value)].flatMap(partsOf);
}

/** Whether every path begins with a text, up to v0.16. */
export function isEveryPrefix(value: Value): boolean {
  return typeof value !== 'string' || '/resource/'.includes(value);
}

/** What the few functions give that are worth following: `concat`, `split` and `set`. Undefined for others. */
export function applied(name: string, args: readonly Value[]): Value | undefined {
  const [first, second] = args;
  if (name === 'set' && args.length === 0) return { set: [] };
  if (name === 'split' && typeof first === 'string' && typeof second === 'string') return first.split(second);
  if (name !== 'concat' || typeof first !== 'string' || second === undefined) return undefined;
  const parts = membersOf(second);
  return parts.every((part) => typeof part === 'string') ? parts.join(first) : undefined;
}
