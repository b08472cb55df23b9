import type { InitSettings } from '../../../src/initrd/site-part.ts';

/** Settings of some development image. */
export function initSettings(): InitSettings {
  return {
    kind: 'development',
    builder_version: '0.1.0',
    cvm_id: '0123456789ab',
    cvm_name: 'site-1',
    cmdline: 'vm_id=0123456789ab console=ttyS0',
    build_time: 1_700_000_000,
    kbs_url: 'https://10.0.2.100:8999',
    kbs_path: 'keys/root/0123456789ab',
    kbs_attempts: 3,
    kbs_retry_seconds: 2,
    verity_root_hash: 'ab'.repeat(32),
    verity_salt: 'cd'.repeat(32),
    verity_hash_offset: 8192,
    verity_data_blocks: 2,
    vault_first_sector: 24,
    vault_integrity: 'yes',
    user_data_writable: 'no',
    workload_uid: 0,
    workload_gid: 0,
    first_id: 65536,
    system_ram: '25%',
    workload_ram: '50%',
  };
}
