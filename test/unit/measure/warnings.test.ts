import { expect, it } from 'vitest';
import { launchWarnings } from '../../../src/measure/index.ts';

it('usual settings warn of nothing', () => {
  expect(launchWarnings({})).toEqual([]);
  expect(launchWarnings({ commandLine: 'console=ttyS0', features: 0x1n, policy: 0x30000n })).toEqual([]);
});

it.each([
  { settings: { commandLine: 'quiet\n' }, message: /newline/ },
  { settings: { commandLine: 'caf\u00e9' }, message: /outside of ASCII/ },
  { settings: { features: 0x21n }, message: /SEV_FEATURES is 0x21/ },
  { settings: { features: 0n }, message: /SEV_FEATURES is 0x0/ },
  { settings: { policy: 0xb0000n }, message: /debugging/ },
  { settings: { policy: 0x20000n }, message: /forbids SMT/ },
  { settings: { policy: 0x130000n }, message: /singleSocket \(bit 20\)/ },
  { settings: { policy: 0x2030000n }, message: /pageSwapOff \(bit 25\)/ },
])('$message is warned of once', ({ settings, message }) => {
  const warnings = launchWarnings(settings);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(message);
});
