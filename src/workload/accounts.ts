import type { AccountFile, ConvertedLayer } from './layer/convert.ts';

/** Text of the image's account files as the running container sees them; undefined where it has none. */
export interface Accounts {
  passwd?: string;
  group?: string;
}

function effective(files: readonly AccountFile[]): string | undefined {
  const top = files.findLast((file) => file !== 'untouched');
  return typeof top === 'object' ? top.text : undefined;
}

/** The accounts that show through all layers, bottom first; an upper layer may replace or hide a file. */
export function effectiveAccounts(layers: readonly Pick<ConvertedLayer, 'accounts'>[]): Accounts {
  const passwd = effective(layers.map(({ accounts }) => accounts['etc/passwd']));
  const group = effective(layers.map(({ accounts }) => accounts['etc/group']));
  return { ...(passwd === undefined ? {} : { passwd }), ...(group === undefined ? {} : { group }) };
}
