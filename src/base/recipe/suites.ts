import { basename } from 'node:path';

export type Distribution = 'debian' | 'ubuntu';

/** A distribution's public archives and the keyring by which they are verified. */
export interface Archive {
  /** Main archive. */
  mirror: string;
  /** Where its security updates appear first. */
  securityMirror: string;
  components: readonly string[];
  /** File below /usr/share/keyrings. */
  keyring: string;
  /** Package that brings the keyring. */
  keyringPackage: string;
}

/** The archives for hosts whose own apt sources lack a suite; `base.mirror` in builder.yml names others. */
export const archives: Record<Distribution, Archive> = {
  debian: {
    mirror: 'http://deb.debian.org/debian',
    securityMirror: 'http://deb.debian.org/debian-security',
    components: ['main'],
    keyring: 'debian-archive-keyring.gpg',
    keyringPackage: 'debian-archive-keyring',
  },
  ubuntu: {
    mirror: 'http://archive.ubuntu.com/ubuntu',
    securityMirror: 'http://security.ubuntu.com/ubuntu',
    // crun and jose are in universe, NVIDIA's signed kernel modules in restricted.
    components: ['main', 'universe', 'restricted', 'multiverse'],
    keyring: 'ubuntu-archive-keyring.gpg',
    keyringPackage: 'ubuntu-keyring, or in Debian ubuntu-archive-keyring',
  },
};

/** Suites that the recipe is made for. Others are built where the host's own apt sources have them. */
export const knownSuites: Readonly<Record<string, Distribution>> = {
  bookworm: 'debian', // 12
  trixie: 'debian', // 13
  noble: 'ubuntu', // 24.04
  plucky: 'ubuntu', // 25.04
};

/** The distribution whose keyring this is. */
export function distributionOfKeyring(keyring: string): Distribution {
  return basename(keyring) === archives.ubuntu.keyring ? 'ubuntu' : 'debian';
}
