import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { shellQuote, templatePath } from '../../../src/host/template.ts';

/** What InitApp's own shell ends with where drives are missing. */
function verdict(present: Readonly<Record<string, string>>): string {
  const script = [
    'fail() { echo "$1: $2"; kill -KILL $$; }',
    `. ${shellQuote(templatePath('initrd/lib/drives.sh'))}`,
    ...['rootfs', 'user_config', 'user_data'].map((name) => `${name}=${shellQuote(present[name] ?? '')}`),
    'require_drives',
    'echo all there',
  ];
  const { stdout, stderr } = spawnSync('busybox', ['sh', '-uc', script.join('\n')], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.trimEnd();
}

const all = { rootfs: '/dev/vda', user_config: '/dev/vdc', user_data: '/dev/vdd' };

it.each([
  ['rootfs', 'E40'],
  ['user_config', 'E60'],
  ['user_data', 'E66'],
])('the boot stops where the drive %s is missing', (name, code) => {
  expect(verdict({ ...all, [name]: '' })).toBe(`${code}: the drive ${name} is missing`);
});

it('the boot goes on where all drives are there', () => {
  expect(verdict(all)).toBe('all there');
});
