import { execFileSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256File } from '../../src/host/files.ts';
import { auditBundle, auditLines } from '../e2e/audit.ts';

test('a sealed kit of 1 GiB is there in a VM of 2 GiB, byte for byte, and takes no room on the plain drive', async () => {
  let sha256 = '';
  await using vm = await auditBundle('kit', {
    settings: { root_drive_size: '3' },
    kit: async (folder) => {
      const file = join(folder, 'local/model.bin');
      execFileSync('sh', ['-c', 'head -c 1G /dev/urandom > "$1"', 'sh', file]);
      sha256 = (await sha256File(file)).hex;
    },
  });
  expect((await stat(vm.file('user_config.qcow2'))).size).toBeLessThan(2 ** 26);
  // All of the seal is read once before it is used, and emulated.
  const end = await vm.boot({ timeout: 800 });
  expect(end).toMatchObject({ end: 'powered-off', verdict: { result: 'ok' } });
  expect(await auditLines(vm)).toContainEqual(
    expect.stringMatching(new RegExp(`^644 0:0 \\./nvflare/local/model\\.bin ${sha256}$`)),
  );
});
