/** Who needs a thing: every bundle, development bundles alone, or sites that may mount an NFS share. */
export type Need = 'boot' | 'development' | 'share';

/** Files of one package that run in the CVM, or are taken into its initrd. */
export interface RequiredFiles {
  /** Debian's and Ubuntu's name of the package. */
  package: string;
  why: string;
  /** Absolute paths, as the CVM looks for them. */
  files: readonly string[];
  /** Every bundle unless told otherwise. */
  need?: Need;
}

const bin = (...names: string[]) => names.map((name) => `/usr/bin/${name}`);
const sbin = (...names: string[]) => names.map((name) => `/usr/sbin/${name}`);

/**
 * Programs of the base that InitApp (templates/initrd), the units and their scripts (templates/site) run, at the paths where
 * these look. A test holds the scripts and this table to each other.
 */
export const requiredFiles: readonly RequiredFiles[] = [
  {
    package: 'libc6',
    why: 'the loader of every program, of kbs-client and snpguest too',
    files: ['/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2', '/lib64/ld-linux-x86-64.so.2'],
  },
  {
    package: 'libgcc-s1',
    why: 'threads of cryptsetup end by it',
    files: ['/usr/lib/x86_64-linux-gnu/libgcc_s.so.1'],
  },
  { package: 'systemd', why: 'starts the units', files: ['/usr/lib/systemd/systemd'] },
  {
    package: 'busybox-static',
    why: "InitApp's shell and tools, DHCP, run-time attestation",
    files: bin('busybox'),
  },
  { package: 'kmod', why: 'loads kernel modules', files: [...bin('kmod'), ...sbin('modprobe')] },
  { package: 'mount', why: 'mounts the drives of the host, without following links', files: bin('mount') },
  {
    package: 'cryptsetup-bin',
    why: 'opens the root drive, its seal and the vault',
    files: sbin('cryptsetup', 'veritysetup', 'integritysetup'),
  },
  { package: 'dmsetup', why: 'maps the parts of the root drive', files: sbin('dmsetup') },
  {
    package: 'e2fsprogs',
    why: 'makes and repairs the vault',
    files: [...sbin('mke2fs', 'e2fsck'), '/etc/mke2fs.conf'],
  },
  { package: 'nftables', why: 'the firewall', files: sbin('nft') },
  { package: 'iproute2', why: 'keeps the address', files: bin('ip') },
  { package: 'crun', why: 'runs the workload', files: bin('crun') },
  {
    package: 'curl',
    why: 'attestation while the workload runs, and reports for it',
    files: bin('curl'),
  },
  { package: 'dash', why: 'runs the scripts of the units', files: bin('sh') },
  {
    package: 'coreutils',
    why: 'the scripts of the units',
    files: bin(
      ...['cat', 'chmod', 'cp', 'cut', 'dd', 'df', 'false', 'mkdir', 'mkfifo', 'mv', 'rm', 'sleep', 'stat'],
      ...['sync', 'tail', 'timeout', 'tr'],
    ),
  },
  { package: 'util-linux', why: 'one attestation report at a time', files: bin('flock') },
  { package: 'diffutils', why: 'the scripts of the units', files: bin('cmp') },
  { package: 'findutils', why: 'the scripts of the units', files: bin('find') },
  { package: 'grep', why: 'the scripts of the units', files: bin('grep') },
  {
    package: 'perl-base',
    why: "makes the container's user namespace, mounts drives with its numbers of users",
    files: bin('perl'),
  },
  { package: 'mawk', why: 'the scripts of the units', files: bin('awk') },
  { package: 'sed', why: 'the scripts of the units', files: bin('sed') },
  {
    package: 'systemd',
    why: 'says that the NFS share is there',
    files: bin('systemd-notify'),
    need: 'share',
  },
  { package: 'nfs-common', why: 'mounts the NFS share', files: sbin('mount.nfs'), need: 'share' },
  {
    package: 'jose',
    why: "opens the development key broker's answer",
    files: bin('jose'),
    need: 'development',
  },
  {
    package: 'coreutils',
    why: 'asks the development key broker',
    files: bin('sha384sum'),
    need: 'development',
  },
];

/** The oldest release that will do, compared with the beginning of the package's version. */
export interface MinimumVersion {
  package: string;
  minimum: string;
  why: string;
}

export const minimumVersions: readonly MinimumVersion[] = [
  {
    package: 'systemd',
    minimum: '252',
    why: 'earlier ones do not know systemd.import_credentials=no (251), or how our units end the VM',
  },
  { package: 'mount', minimum: '2.38', why: 'earlier ones do not know nosymfollow' },
  {
    package: 'crun',
    minimum: '1.8',
    why: 'earlier ones were never tried with a user namespace that is there already',
  },
  { package: 'cryptsetup-bin', minimum: '2.4', why: 'earlier ones were never tried with the seal' },
];
