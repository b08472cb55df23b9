import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kitDigest } from '../../../src/build/rebuild/kit-digest.ts';
import type { BuildRecord } from '../../../src/build/record/schema.ts';
import type { BuildSettings } from '../../../src/build/settings.ts';
import { parseCcConfig } from '../../../src/config/index.ts';
import { changesSince } from '../../../src/project/changes.ts';
import type { TodaysInputs } from '../../../src/project/today.ts';
import { recordOf } from '../build/rebuild/record.ts';

const { signal } = new AbortController();
const hex = (digit: string) => digit.repeat(64);
const text = 'docker_archive: /nowhere/image.tar\nallowed_out_ports: [443]\n';

let kit: string;
let record: BuildRecord;
beforeAll(async () => {
  kit = join(await mkdtemp(join(tmpdir(), 'changes-test-')), 'site-1');
  await mkdir(join(kit, 'startup'), { recursive: true });
  await writeFile(join(kit, 'startup/client.key'), 'key');
  const plain = recordOf();
  const sha256 = (await kitDigest({ nvflare: kit }, signal))!;
  record = {
    ...plain,
    builder_sha256: hex('a'),
    cc_config: { path: '/nowhere/cc_site-1.yml', text },
    inputs: { ...plain.inputs, user_config: { folders: { nvflare: kit }, sha256 } },
  };
});
afterAll(() => rm(join(kit, '..'), { recursive: true }));

interface Now {
  ccConfig?: string;
  today?: Partial<TodaysInputs>;
  archive?: string;
  acceptFirmware?: string[];
  refreshBase?: boolean;
  recorded?: Partial<BuildRecord['inputs']>;
}

/** What changed, where only so much is not as it was. */
function changes({
  ccConfig = text,
  today = {},
  archive = hex('1'),
  acceptFirmware = [],
  refreshBase = false,
  recorded = {},
}: Now = {}) {
  const settings = {
    site: parseCcConfig(ccConfig, 'cc_site-1.yml').config!,
    dockerArchive: '/elsewhere/image.tar',
    userConfig: { nvflare: kit },
    acceptFirmware,
    refreshBase,
    read: { builderValues: record.builder.values },
  } as unknown as BuildSettings;
  const inputs = {
    builderCode: hex('a'),
    base: hex('3'),
    firmware: hex('4'),
    kbsClient: undefined,
    snpguest: undefined,
    kbsCa: hex('5'),
    initrdParts: [hex('6')],
    archive: async () => archive,
    ...today,
  };
  return changesSince({ ...record, inputs: { ...record.inputs, ...recorded } }, settings, inputs, signal);
}

describe('what a build would be made from', () => {
  it('is the same where paths, words and comments differ, and the content does not', async () => {
    expect(await changes()).toEqual([]);
    expect(
      await changes({ ccConfig: `# moved\nallowed_out_ports:\n  - 443\ndocker_archive: /other/image.tar\n` }),
    ).toEqual([]);
  });

  it.each([
    ["the builder's code changed", { today: { builderCode: hex('b') } }],
    ['docker_archive changed', { archive: hex('b') }],
    ['the base system changed', { today: { base: hex('b') } }],
    ['the firmware changed', { today: { firmware: hex('b') } }],
    ['snpguest changed', { today: { snpguest: hex('b') } }],
    ["the key broker's certificate changed", { today: { kbsCa: hex('b') } }],
    ['shared parts of the initrd changed', { today: { initrdParts: [hex('b')] } }],
    ['allowedOutPorts: [443] -> [443,8002]', { ccConfig: text.replace('443', '443, 8002') }],
  ] satisfies [string, Now][])('is another: %s', async (said, now) => {
    expect(await changes(now)).toEqual([said]);
  });

  it('counts as the same where it could only be told by making it', async () => {
    expect(
      await changes({ today: { base: undefined, firmware: undefined, initrdParts: undefined } }),
    ).toEqual([]);
  });

  it('is another base where a new one is asked for, unless it is imported', async () => {
    expect(await changes({ refreshBase: true, today: { base: undefined } })).toEqual([
      'the base system changed',
    ]);
    expect(await changes({ refreshBase: true })).toEqual([]);
  });

  it('is another once firmware that was accepted is not any more', async () => {
    const recorded = { firmware: { ...record.inputs.firmware, accepted: true } };
    expect(await changes({ recorded })).toEqual(['its firmware is not accepted any more']);
    expect(await changes({ recorded, acceptFirmware: [hex('4')] })).toEqual([]);
  });
});
