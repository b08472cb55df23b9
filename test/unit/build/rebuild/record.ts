import type { BuildRecord } from '../../../../src/build/record/schema.ts';

const hex = (digit: string) => digit.repeat(64);

/** A build record of a development image, with what a test changes. */
export function recordOf(changes: Partial<BuildRecord> = {}): BuildRecord {
  return {
    version: 1,
    id: '0123456789ab',
    name: 'site-1',
    kind: 'development',
    builder_version: '0.1.0',
    created: '2026-01-02T03:04:05.000Z',
    cc_config: { path: '/nowhere/cc_site-1.yml', text: '' },
    builder: { values: { kbs: { resourcePrefix: 'keys/root' }, base: {}, machine: {} } },
    inputs: {
      docker_archive: { path: '/nowhere/image.tar', sha256: hex('1') },
      user_config: { folders: { nvflare: '/nowhere/site-1' }, sha256: hex('2') },
      base: { id: hex('3'), origin: 'mmdebstrap bookworm' },
      firmware: { path: '/nowhere/OVMF.amdsev.fd', sha256: hex('4'), accepted: false },
      kbs_ca: { sha256: hex('5') },
      initrd_parts: [hex('6')],
    },
    ...changes,
  };
}
