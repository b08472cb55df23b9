import { expect, it } from 'vitest';
import { peersOf } from '../../../src/cli/boot.ts';

it('lets the CVM reach peers by name or address', () => {
  expect(peersOf(['server-1.example.org:8002', '[::1]:8003'])).toEqual([
    { host: 'server-1.example.org', port: 8002 },
    { host: '::1', port: 8003 },
  ]);
});

it.each([
  '-e:8002',
  '-lk:8002',
  '-:8002',
  'a,hostfwd=tcp::22-:22:8002',
  "a';reboot;':8002",
  'a b:8002',
  'a\n:8002',
  '$(id):8002',
  '[-e]:8002',
])('refuses %j, which is no host but an option or a command', (text) => {
  expect(() => peersOf([text])).toThrow('it is not <host>:<port>');
});

it('refuses two peers at one port', () => {
  expect(() => peersOf(['a:8002', 'b:8002'])).toThrow('two programs at port 8002');
});
