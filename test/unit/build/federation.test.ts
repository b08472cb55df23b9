import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agreesWithTheKit, keyBrokerPortNote, kitFacts } from '../../../src/build/federation.ts';

let kit: string;
beforeEach(async () => {
  kit = await mkdtemp(join(tmpdir(), 'kit-facts-'));
  await mkdir(join(kit, 'startup'));
});
afterEach(() => rm(kit, { recursive: true }));

const put = (name: string, value: unknown) =>
  writeFile(join(kit, 'startup', name), typeof value === 'string' ? value : JSON.stringify(value));
const servers = (target: unknown, more: object = {}) => ({ servers: [{ service: { target }, ...more }] });

describe('a startup kit', () => {
  it('tells role, server and port', async () => {
    await put('fed_client.json', servers('server1.example.org:8002'));
    expect(kitFacts(kit)).toEqual({ role: 'client', server: 'server1.example.org', ports: [8002] });
  });

  it('of a server tells the port of admins as well, where that is another', async () => {
    await put('fed_server.json', servers('server1:8002', { admin_port: 8002 }));
    expect(kitFacts(kit)).toEqual({ role: 'server', server: 'server1', ports: [8002] });
    await put('fed_server.json', servers('server1:8002', { admin_port: 8003 }));
    expect(kitFacts(kit)?.ports).toEqual([8002, 8003]);
  });

  it.each([
    ['no JSON', '{'],
    ['another shape', []],
    ['null', 'null'],
    ['no server', { servers: [] }],
    ['no target', servers(undefined)],
    ['a target that is no address', servers('a b:8002')],
    ['a port that there is not', servers('server1:70000')],
    ['a target with a line break', servers('server1\n:8002')],
    ['a target that no text can be made of', servers({ toString: 1, valueOf: 1 })],
  ])('with %s tells its role alone', async (_, value) => {
    await put('fed_client.json', value);
    expect(kitFacts(kit)).toMatchObject({ role: 'client', ports: [] });
  });

  it.each([
    8003.5,
    '0x50',
    [80],
    { toString: 1, valueOf: 1 },
  ])('with admin port %j tells the port of clients alone', async (port) => {
    await put('fed_server.json', servers('server1:8002', { admin_port: port }));
    expect(kitFacts(kit)).toEqual({ role: 'server', server: 'server1', ports: [8002] });
  });

  it('that is none, or whose file is a FIFO or far too large, tells nothing and is not waited for', async () => {
    expect(kitFacts(kit)).toBeUndefined();
    expect(kitFacts(join(kit, 'absent'))).toBeUndefined();
    spawnSync('mkfifo', [join(kit, 'startup/fed_server.json')]);
    expect(kitFacts(kit)).toBeUndefined();
    await put('fed_client.json', '');
    await truncate(join(kit, 'startup/fed_client.json'), 2 ** 30);
    expect(kitFacts(kit)).toBeUndefined();
  });

  it('is found by the path in user_config, relative ones too', async () => {
    await put('fed_client.json', servers('server1:8002'));
    const context = { workingDirectory: kit, configDirectory: '/', home: '/', exists: () => true };
    const rule = agreesWithTheKit(context);
    expect(rule({ user_config: { nvflare: '.' } })).toHaveLength(1);
    expect(rule({ user_config: { nvflare: '.' }, allowed_out_ports: [8002] })).toEqual([]);
    for (const user_config of [null, 7, [], { nvflare: 7 }, { nvflare: '~other/kit' }])
      expect(rule({ user_config })).toEqual([]);
  });
});

it('the key broker’s port is told where the list lacks it, for it is open all the same', () => {
  expect(keyBrokerPortNote([443], 'https://kbs.example.org:8999')).toContain('port 8999 is open');
  expect(keyBrokerPortNote([8999], 'https://kbs.example.org:8999')).toBeUndefined();
  expect(keyBrokerPortNote([443], 'https://kbs.example.org')).toBeUndefined();
  expect(keyBrokerPortNote([443], 'http://127.0.0.1')).toContain('port 80 ');
});
