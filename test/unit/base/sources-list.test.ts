import { expect, it } from 'vitest';
import { sourcesList } from '../../../src/base/apt.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const source = { uri: 'http://deb.example.org/debian', suite: 'bookworm', codename: 'bookworm', keyring };

it('writes a line a component, each bound to its keyring', () => {
  const text = sourcesList([
    { ...source, component: 'main' },
    { ...source, suite: 'bookworm-security', component: 'contrib' },
  ]);
  expect(text).toBe(
    `deb [signed-by=${keyring}] http://deb.example.org/debian bookworm main\n` +
      `deb [signed-by=${keyring}] http://deb.example.org/debian bookworm-security contrib\n`,
  );
});

it('never switches the check of signatures off', () => {
  expect(sourcesList([{ ...source, component: 'main' }])).not.toMatch(/trusted|insecure|allow-weak/i);
});
