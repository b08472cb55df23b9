import { readFile } from 'node:fs/promises';

/** An Ethernet frame between the VM's network card and the host's side of it. */
export interface Frame {
  fromGuest: boolean;
  /** `arp`, `ipv4`, `ipv6`, or the EtherType in hex. */
  type: string;
  /** Of the IP packet, or who is asked for by ARP. */
  source: string;
  destination: string;
  /** IP's protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6; undefined where the frame holds no IP. */
  protocol: number | undefined;
  sourcePort: number | undefined;
  destinationPort: number | undefined;
  /** What follows the Ethernet header. */
  payload: Buffer;
}

/** QEMU's default address of the first network card. */
const guestMac = '525400123456';

/** QEMU arguments that write every frame of the network `net` into a file, both ways. */
export function recordFrames(file: string): string[] {
  return ['-object', `filter-dump,id=frames,netdev=net,file=${file}`];
}

/**
 * Reads a recording, also one that still grows. Classic pcap (tcpdump.org, pcap-savefile(5)): a header of 24 bytes, then for
 * each frame 16 bytes, of which 8..11 are the length, and the frame. Little-endian, as QEMU writes it here.
 */
export async function readFrames(file: string): Promise<Frame[]> {
  const data = await readFile(file);
  if (data.length < 24) return [];
  if (data.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error(`${file} is no recording`);
  const frames: Frame[] = [];
  for (let at = 24; at + 16 <= data.length; ) {
    const length = data.readUInt32LE(at + 8);
    if (at + 16 + length > data.length) break;
    frames.push(parse(data.subarray(at + 16, at + 16 + length)));
    at += 16 + length;
  }
  return frames;
}

/** Ethernet II: destination 0..5, source 6..11, EtherType 12..13, big-endian. */
function parse(bytes: Buffer): Frame {
  const payload = bytes.subarray(14);
  const fromGuest = bytes.toString('hex', 6, 12) === guestMac;
  const type = bytes.readUInt16BE(12);
  const none = { protocol: undefined, sourcePort: undefined, destinationPort: undefined };
  const ports = (protocol: number, at: number) =>
    protocol === 6 || protocol === 17
      ? { protocol, sourcePort: payload.readUInt16BE(at), destinationPort: payload.readUInt16BE(at + 2) }
      : { ...none, protocol };
  switch (type) {
    // RFC 826: sender 14..17, target 24..27.
    case 0x0806:
      return {
        fromGuest,
        type: 'arp',
        source: ipv4(payload, 14),
        destination: ipv4(payload, 24),
        ...none,
        payload,
      };
    // RFC 791: header length 0, protocol 9, source 12..15, destination 16..19.
    case 0x0800: {
      const addresses = { source: ipv4(payload, 12), destination: ipv4(payload, 16) };
      return {
        fromGuest,
        type: 'ipv4',
        ...addresses,
        ...ports(payload[9]!, (payload[0]! & 15) * 4),
        payload,
      };
    }
    // RFC 8200: next header 6, source 8..23, destination 24..39.
    case 0x86dd: {
      const addresses = {
        source: payload.toString('hex', 8, 24),
        destination: payload.toString('hex', 24, 40),
      };
      return { fromGuest, type: 'ipv6', ...addresses, ...ports(payload[6]!, 40), payload };
    }
    default:
      return { fromGuest, type: type.toString(16), source: '', destination: '', ...none, payload };
  }
}

function ipv4(bytes: Buffer, at: number): string {
  return [...bytes.subarray(at, at + 4)].join('.');
}
