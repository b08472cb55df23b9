import { expect, it } from 'vitest';
import { parseRange } from '../../../src/host/namespace.ts';

const text = 'alice:100000:65536\nbob:165536:1000\nbob:200000:65536\n1007:300000:131072\n';

it.each([
  [['alice', '1001'], 100_000],
  [['carol', '1007'], 300_000],
  [['bob', '1002'], 200_000],
  [['ali', '100'], undefined],
])('finds the first range of %j that holds 65536 ids', (owners, first) => {
  expect(parseRange(text, owners)).toBe(first);
});
