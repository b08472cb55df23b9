import { isIP } from 'node:net';
import { z } from 'zod';
import { described } from './guidance.ts';

/** Bytes in one GB of a drive size. It is 2^30, what qemu-img's `G` and the guides' `45G` mean. */
export const bytesPerGb = 2 ** 30;

/** The largest ext4 that every tool on the way handles without special options: 16 TiB. */
const largestDrive = 16_384;

/** The size of a drive in whole GB. */
export const driveSize = (what: string) =>
  described(
    z.int().min(1).max(largestDrive),
    `Size of ${what} in GB (1 GB = 2^30 bytes). The file takes only the space that is used.`,
    `a whole number of GB from 1 to ${largestDrive}`,
  );

/** A file or folder; `~/` is the home folder, a relative path is looked up where `resolvePath` says. */
export const path = (description: string) =>
  described(z.string().min(1).max(4096), description, 'the path of a file or folder');

/** A yes-or-no setting. */
export const flag = (description: string) => described(z.boolean(), description, 'true or false');

const port = () => described(z.int().min(1).max(65_535), 'A TCP port.', 'a whole number from 1 to 65535');

/** TCP and UDP ports. */
export const ports = (description: string) =>
  described(z.array(port()).max(1024), description, 'a list of ports, for example [443, 8002]');

/** Seconds, as whole numbers. */
export const seconds = (description: string) =>
  described(
    z
      .int()
      .min(1)
      .max(2 ** 31 - 1),
    description,
    'a whole number of seconds, at least 1',
  );

const label = '[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?';
/** No name that is made of digits and dots alone: it would read as an address. */
const hostPattern = new RegExp(`^(?![0-9.]+$)(?=.{1,253}$)${label}(?:\\.${label})*$`);

/** Lines for the guest's /etc/hosts. */
export const hosts = (description: string) =>
  described(
    z.record(
      described(
        z.string().regex(hostPattern),
        'A host name.',
        'a host name of letters, digits, "-", "_" and "."',
      ),
      described(
        z.union([z.ipv4(), z.ipv6()]),
        'An IPv4 or IPv6 address.',
        'an IPv4 or IPv6 address, for example 10.176.4.244',
      ),
    ),
    description,
    'a map of host name to address, for example "server1: 10.176.4.244"',
  );

/** Whether a text is an IP address in the form that {@link hosts} takes: no zone, no prefix length. */
export const isAddress = (text: string) => isIP(text) !== 0 && !text.includes('%');

/** SHA-256 in hex, either case. */
export const sha256 = (description: string) =>
  described(z.string().regex(/^[0-9a-fA-F]{64}$/), description, 'a SHA-256: 64 hexadecimal digits');
