import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workDirectory } from '../../src/host/temp.ts';
import { asBuilt, auditBundle, auditLines, plant, plantGuestAudit, sections } from './audit.ts';
import { type Frame, readFrames, recordFrames } from './frames.ts';
import { type Boot, copyOfBundle, expectFailedClosed, type Vm } from './harness.ts';

/** What the host's DHCP server says beside addresses: shell text in each place that holds a name. */
const planted = '$(poweroff)';
const hostileDhcp = [
  ...['hostname', 'domainname', 'dnssearch', 'bootfile', 'tftp-server-name'].map(
    (name) => `${name}=${planted}`,
  ),
];

let work: Awaited<ReturnType<typeof workDirectory>>;
let vm: Vm;
let end: Boot;
let said: string[];
let guest: Record<string, string[]>;
let frames: Frame[];
/** What the host read from the forwarded ports. */
let answers: { open: string; closed: string };

beforeAll(async () => {
  work = await workDirectory();
  vm = await auditBundle('network', {
    settings: { allowed_ports: '[8002, 8004]', allowed_out_ports: '[443]' },
  });
  await plantGuestAudit(vm);
});
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
  await work?.[Symbol.asyncDispose]();
});

test('boots, and the workload ends when both sides have seen enough', async () => {
  const recording = join(work.path, 'frames.pcap');
  const ports = { open: await freePort(), closed: await freePort(), last: await freePort() };
  const stop = new AbortController();
  const visits = visitServers(ports, recording, stop.signal);
  end = await vm.boot({
    portForwards: [
      { host: ports.open, guest: 8002 },
      { host: ports.closed, guest: 8003 },
      { host: ports.last, guest: 8004 },
    ],
    hostile: {
      ...asBuilt(vm),
      // Not restricted: a packet that leaves the VM does reach the host's network code, and DHCP names a router.
      networkOptions: [
        'restrict=off',
        'guestfwd=tcp:10.0.2.101:443-cmd:/bin/echo peer-443',
        'guestfwd=tcp:10.0.2.101:444-cmd:/bin/echo peer-444',
        ...hostileDhcp,
      ],
      extraArguments: recordFrames(recording),
    },
  });
  stop.abort();
  answers = await visits;
  said = await auditLines(vm);
  guest = sections((await vm.log('guest.txt')) ?? '');
  frames = await readFrames(recording);
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
});

test('the rules are loaded before the network is up', async () => {
  const log = (await vm.log('boot.log')) ?? '';
  expect(log).toMatch(/\] firewall loaded\n.*\] network: eth0 has 10\.0\.2\.15\n/);
});

test('an allowed port answers, another does not, though a server waits there', () => {
  expect(answers).toEqual({ open: 'open-8002\n', closed: '' });
  // 8002 and 8003 in hex.
  expect(guest.listening).toEqual(expect.arrayContaining(['tcp6 1F42', 'tcp6 1F43']));
  expect(received(({ destinationPort }) => destinationPort === 8003)).toBeGreaterThan(0);
  expect(sent(({ sourcePort }) => sourcePort === 8003)).toBe(0);
});

test('an allowed port out connects, another sends not a frame, by IPv4 and IPv6', () => {
  expect(said).toEqual(expect.arrayContaining(['10.0.2.101 443 says: peer-443', '10.0.2.101 444 says: ']));
  expect(sent(({ type, destinationPort }) => type === 'ipv6' && destinationPort === 443)).toBeGreaterThan(0);
  for (const port of [444, 445, 123]) expect(sent(({ destinationPort }) => destinationPort === port)).toBe(0);
});

test('only the name server that DHCP named is asked', () => {
  expect(said).toContain('resolv.conf: nameserver 10.0.2.3 ');
  const asked = frames.filter(({ fromGuest, destinationPort }) => fromGuest && destinationPort === 53);
  expect([...new Set(asked.map(({ destination }) => destination))]).toEqual(['10.0.2.3']);
});

test("no raw packet of the container reaches the peer, while one of the VM's own root does", () => {
  expect(said.filter((line) => line.endsWith(' works'))).toEqual([]);
  const askedFor = (address: string) =>
    sent(({ type, destination }) => type === 'arp' && destination === address);
  expect(askedFor('10.0.2.78')).toBe(1);
  expect(askedFor('10.0.2.77')).toBe(0);
});

test('shell text in the names that the DHCP server gives changes nothing', () => {
  const offers = frames.filter(
    ({ destinationPort, payload }) => destinationPort === 68 && payload.includes(planted),
  );
  expect(offers.length).toBeGreaterThan(0);
  expect(said).toContain('host name: site-1');
  expect(end.console.join('\n')).not.toContain(planted);
});

test('the address is renewed, and stays', () => {
  expect(guest.renewed).toEqual(['yes', '10.0.2.15/24']);
});

test('what the VM sends is this and nothing else', () => {
  const kinds = frames.filter(({ fromGuest }) => fromGuest).map(kindOf);
  expect([...new Set(kinds)].sort()).toEqual([
    ...['answer of tcp 8002', 'answer of tcp 8004'],
    ...['100', '101', '2', '3', '78'].map((host) => `arp 10.0.2.${host}`),
    // Router and neighbour solicitation, RFC 4861. Listener reports, RFC 3810, are not allowed.
    ...['icmpv6 133', 'icmpv6 135'],
    ...['tcp 443 at 10.0.2.101', `tcp 443 at fec${'0'.repeat(28)}2`, 'tcp 8999 at 10.0.2.100'],
    // Asked by packet socket, which no rule sees; the rules let no DHCP out.
    ...['udp 53 at 10.0.2.3', 'udp 67 at 255.255.255.255'],
  ]);
});

function sent(what: (frame: Frame) => boolean): number {
  return frames.filter((frame) => frame.fromGuest && what(frame)).length;
}

function received(what: (frame: Frame) => boolean): number {
  return frames.filter((frame) => !frame.fromGuest && what(frame)).length;
}

/** A short name of what a frame is for. */
function kindOf({ type, protocol, sourcePort, destinationPort, destination, payload }: Frame): string {
  if (protocol === 58) return `icmpv6 ${payload[40]}`;
  if (protocol === 6 && [8002, 8003, 8004].includes(sourcePort!)) return `answer of tcp ${sourcePort}`;
  if (protocol === 6 || protocol === 17)
    return `${protocol === 6 ? 'tcp' : 'udp'} ${destinationPort} at ${destination}`;
  return protocol === undefined ? `${type} ${destination}` : `${type} ${destination}, protocol ${protocol}`;
}

/**
 * Knocks at the allowed port until it answers, from before the VM has a network; then at the other one, until the knock has
 * reached the VM's card; then at the port that lets the workload end.
 */
async function visitServers(
  ports: { open: number; closed: number; last: number },
  recording: string,
  signal: AbortSignal,
): Promise<{ open: string; closed: string }> {
  const again = () => delay(200, undefined, { signal });
  const reached = async () =>
    (await readFrames(recording)).filter((frame) => frame.destinationPort === 8003 && !frame.fromGuest)
      .length;
  let open = '';
  const closed = [visit(ports.closed, signal)];
  try {
    while (open === '') {
      open = await visit(ports.open, signal);
      await again();
    }
    const before = await reached();
    closed.push(visit(ports.closed, signal));
    while ((await reached()) === before) await again();
    for (;;) {
      await visit(ports.last, signal);
      await again();
    }
  } catch (error) {
    // The VM ended.
    if (!signal.aborted) throw error;
  }
  return { open, closed: (await Promise.all(closed)).join('') };
}

/** What a forwarded port says until it closes; nothing where nobody is there. */
async function visit(port: number, signal: AbortSignal): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, signal });
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  socket.setTimeout(5000, () => socket.destroy());
  await once(socket, 'close').catch(() => {});
  return text;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('no frame leaves the VM, and none is answered, while the firewall is not loaded', async () => {
  await using bare = await copyOfBundle();
  await plant(bare, { 'etc/cvm/firewall.nft': 'flush ruleset\ntable inet cvm { chain mistaken }\n' });
  const recording = join(work.path, 'bare.pcap');
  const port = await freePort();
  const stop = new AbortController();
  const knocks = (async () => {
    while (!stop.signal.aborted) {
      await visit(port, stop.signal);
      await delay(200);
    }
  })();
  const failed = await bare.boot({
    portForwards: [{ host: port, guest: 8002 }],
    hostile: { ...asBuilt(bare), extraArguments: recordFrames(recording) },
  });
  stop.abort();
  await knocks;
  await expectFailedClosed(bare, failed, 'E20', /^the firewall could not be loaded/);
  const seen = await readFrames(recording);
  // The host asked for the VM's card all the time.
  expect(seen.filter(({ fromGuest, type }) => !fromGuest && type === 'arp').length).toBeGreaterThan(0);
  expect(seen.filter(({ fromGuest }) => fromGuest)).toEqual([]);
});
