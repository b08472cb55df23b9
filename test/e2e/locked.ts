/** What runs in the VM while a workload of test/e2e/audit waits, whatever base it has: test/e2e/audit/guest.sh lists it. */

/** Every unit that systemd has a file for, sorted. */
export const ownUnitFiles = [
  'container.slice',
  'cvm-dhcp.service',
  'cvm-lock.service',
  'cvm-nfs.service',
  'cvm-report.socket',
  'cvm-report@.service',
  'cvm-workload-log.service',
  'cvm-workload-space.service',
  'cvm-workload.service',
  'cvm.target',
];

/** What is below systemd's folders in /run: InitApp writes there what the container may take of this VM's memory. */
export const ownGenerated = ['', '/memory.conf'].map(
  (name) => `/run/systemd/system/container.slice.d${name}`,
);

/** Programs, the first two words of each, and what it reads from. */
export const ownProcesses = [
  '/bin/sh /audit null',
  '/bin/sh /usr/lib/cvm/workload-log /run/cvm/workload.pipe',
  '/bin/sh /usr/lib/cvm/workload-space null',
  '/usr/lib/systemd/systemd --unit=cvm.target null',
  'busybox udhcpc null',
  'crun --cgroup-manager=cgroupfs null',
  // One read of the workload's output, which workload-log waits for.
  'dd bs=65536 /run/cvm/workload.pipe',
];

/** Sockets that wait for somebody. */
export const ownSockets = [
  'unix /run/systemd/io.system.ManagedOOM',
  'unix /run/systemd/private',
  'unix /run/systemd/userdb/io.systemd.DynamicUser',
];

/** templates/initrd/modules.txt with what those modules need; ecb comes with the drives' cipher. */
export const ownModules = [
  ...[
    'aesni_intel',
    'async_tx',
    'async_xor',
    'crc16',
    'crc32c_generic',
    'crc32c_intel',
    'cryptd',
    'crypto_simd',
  ],
  ...['dm_bufio', 'dm_crypt', 'dm_integrity', 'dm_mod', 'dm_verity', 'ecb', 'ext4', 'failover', 'jbd2'],
  ...['libcrc32c', 'loop', 'mbcache', 'net_failover', 'nf_conntrack', 'nf_defrag_ipv4', 'nf_defrag_ipv6'],
  ...[
    'nf_reject_ipv4',
    'nf_reject_ipv6',
    'nf_tables',
    'nfnetlink',
    'nft_ct',
    'nft_reject',
    'nft_reject_inet',
  ],
  ...['overlay', 'reed_solomon', 'sha256_ssse3', 'squashfs', 'virtio', 'virtio_blk', 'virtio_console'],
  ...[
    'virtio_net',
    'virtio_pci',
    'virtio_pci_legacy_dev',
    'virtio_pci_modern_dev',
    'virtio_ring',
    'virtio_rng',
  ],
  ...['xor', 'xts'],
];
