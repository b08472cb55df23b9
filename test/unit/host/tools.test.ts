import { expect, it } from 'vitest';
import { packageOf, steps, type Tool, tools } from '../../../src/host/tools.ts';

const rows = Object.entries(tools as Record<string, Tool>);

it.each(rows)('%s is needed for something that has a name', (_, tool) => {
  expect(tool.steps.length).toBeGreaterThan(0);
  for (const step of tool.steps) expect(steps[step]).toBeTypeOf('string');
});

it.each(
  rows.filter(([, { minimum }]) => minimum !== undefined),
)('%s, which has a minimum, tells its version, and the minimum says what older ones lack', (_, {
  version,
  minimum,
}) => {
  expect(version).not.toBe(false);
  expect(minimum!.version).toMatch(/^\d+(\.\d+)+$/);
  expect(minimum!.lacks).not.toBe('');
});

const moved: Tool = { package: 'old', newPackage: 'new', purpose: 'test', steps: ['build'] };
it.each([
  ['ID=debian\nVERSION_ID="12"\n', 'old'],
  ['ID=debian\nVERSION_ID="13"\n', 'new'],
  ['PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n', 'new'],
  ['ID=ubuntu\nVERSION_ID="22.04"\nID_LIKE=debian\n', 'old'],
  ['ID=ubuntu\nVERSION_ID="24.04"\nID_LIKE=debian\n', 'new'],
  ['ID=ubuntu\nVERSION_ID="25.04"\n', 'new'],
  ['ID=fedora\nVERSION_ID=42\n', 'old'],
  ['', 'old'],
])('on %j the package is the %s one', (osRelease, expected) => {
  expect(packageOf(moved, osRelease)).toBe(expected);
});

it('a program that was never moved has one package everywhere', () => {
  expect(packageOf(tools.cpio, 'ID=ubuntu\nVERSION_ID="25.04"\n')).toBe('cpio');
});
