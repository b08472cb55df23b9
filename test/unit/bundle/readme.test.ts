import { expect, test } from 'vitest';
import { readme, wrap } from '../../../src/bundle/readme.ts';
import { manifest } from './fixture.ts';

const { files: _, schema_version: __, ...facts } = manifest;
const input = { ...facts, allowedPorts: [8002] };

test('no line is wider than 78 columns but digests', async () => {
  const cmdline = `${manifest.launch.cmdline} ${'lockdown=integrity '.repeat(12)}`.trim();
  for (const kind of ['production', 'development'] as const) {
    const text = await readme({ ...input, kind, launch: { ...input.launch, cmdline } });
    for (const line of text.split('\n'))
      if (!/^[0-9a-f]{64,96}$/.test(line)) expect(line.length, line).toBeLessThan(79);
    expect(text).not.toMatch(/@[A-Z]+@/);
  }
});

test('it tells every digest, the firmware verdict, the key and the files', async () => {
  const text = await readme(input);
  for (const { hex, vcpus } of manifest.launch.digests) expect(text).toContain(`  ${vcpus} vCPUs\n${hex}\n`);
  expect(text).toMatch(/Debian ovmf-amdsev 2026\.08\+ds-2: weak\. It can start more/);
  expect(text).toContain(manifest.kbs.resource);
  for (const name of Object.keys(manifest.files)) expect(text).toContain(name);
  expect(text).toContain('./launch_vm.sh');
  expect(text).not.toContain('DEVELOPMENT');
});

test('it tells that the administrator accepted the firmware, and only then', async () => {
  const line = 'The administrator accepted it by its SHA-256';
  expect((await readme(input)).replaceAll('\n', ' ')).not.toContain(line);
  const firmware = { ...input.firmware, accepted: true as const };
  expect((await readme({ ...input, firmware })).replaceAll('\n', ' ')).toContain(line);
});

test('a development bundle says so first, and how it is booted', async () => {
  const text = await readme({ ...input, kind: 'development' });
  expect(text.split('\n').slice(0, 6).join('\n')).toContain('DEVELOPMENT BUNDLE');
  expect(text).toContain('./launch_vm.sh --dev');
});

test('no value can drive a terminal', async () => {
  expect(await readme({ ...input, builder_version: '1\u001b[2J' })).not.toContain('\u001b');
});

test('wrapping keeps words whole', () => {
  expect(wrap(`${'a'.repeat(90)} b`)).toBe(`${'a'.repeat(90)}\nb`);
  expect(wrap('a b', '  ')).toBe('  a b');
});
