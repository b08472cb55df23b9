import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { policyPushCommand } from '../../../src/cli/policy/push.ts';
import { newDiskKey } from '../../../src/host/secret.ts';
import { push } from '../../../src/kbs/client/push.ts';
import { writeHandoff } from '../../../src/kbs/handoff.ts';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import { asPrevious } from '../../../src/kbs/registry/previous.ts';
import { readRegistry, replaceRecord } from '../../../src/kbs/registry/registry.ts';
import { digestOf } from '../../unit/kbs/records.ts';
import { type AdminSite, adminSite, builderFile } from './client-admin.ts';

const changes = (log: readonly string[]) =>
  log.flatMap((line) => {
    const [, request] = /((?:POST|DELETE) \S+) 200/.exec(line) ?? [];
    return request === undefined ? [] : [request];
  });

const newDigest = digestOf('built again');

/** Image 1, pushed, then built again under its id; what was logged so far is forgotten. */
async function builtAgain(site: AdminSite) {
  const { image, key: oldKey } = await site.build(1);
  await push(site.pushInput());
  const key = newDiskKey();
  const resourcePath = `${image.resourcePath}.2`;
  const record = { ...image, resourcePath, digests: [{ ...image.digests[0]!, hex: newDigest }] };
  await writeHandoff(join(site.handoff, `cvm_${image.id}`), { record, key });
  await replaceRecord(site.policyDirectory, image.id, (present) => ({
    ...record,
    previous: asPrevious(present),
  }));
  site.log.length = 0;
  return { old: image, oldKey, record, key: key.reveal().toString() };
}

/** What `cvm policy push --dry-run` prints. */
async function dryRun(site: AdminSite): Promise<string> {
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    await policyPushCommand({ config: await builderFile(site), dryRun: true });
    return written.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    written.mockRestore();
  }
}

const resourceAt = async (site: AdminSite, path: string) =>
  (await site.kbs.received.resource(path))?.toString();

const image = async (site: AdminSite) => (await readRegistry(site.policyDirectory))!.images[0]!;

describe.each([
  'field',
  'main',
] as const)('a push of an image that was built again, to a KBS of era %s', (era) => {
  test('names both images in the policy until the new key is there, then the new one alone', async () => {
    await using site = await adminSite({ era });
    const { old, record, key } = await builtAgain(site);
    const policies: string[] = [];
    await push(
      site.pushInput({
        policy: async () => {
          const written = await writePolicy(site.policyDirectory);
          policies.push(written.text);
          return written;
        },
      }),
    );
    expect(policies.map((text) => [text.includes(old.digests[0]!.hex), text.includes(newDigest)])).toEqual([
      [true, true],
      [false, true],
    ]);
    expect(changes(site.log).slice(0, 3)).toEqual([
      'POST /kbs/v0/resource-policy',
      `POST /kbs/v0/resource/${record.resourcePath}`,
      'POST /kbs/v0/resource-policy',
    ]);
    expect(changes(site.log).at(-1)).toBe('POST /kbs/v0/reference-value');
    expect(await site.kbs.received.policy()).toBe(await readFile(policyPath(site.policyDirectory), 'utf8'));
    expect(await resourceAt(site, record.resourcePath)).toBe(key);
  });

  test('is shown beforehand with its second policy, and sends just that', async () => {
    await using site = await adminSite({ era });
    const { old, key } = await builtAgain(site);
    await writePolicy(site.policyDirectory);
    const shown = await dryRun(site);
    expect(site.log).toEqual([]);
    expect(shown).not.toContain(key);
    const planned = [...shown.matchAll(/^(POST|DELETE) (\S+)$/gm)].map(
      ([, method, url]) => `${method} ${url!.replace(site.kbs.url, '')}`,
    );
    const digests = [...shown.matchAll(/, SHA-256 ([0-9a-f]{64})$/gm)].map(([, hex]) => hex);
    const sent: string[] = [];
    const policy = async () => {
      const written = await writePolicy(site.policyDirectory);
      sent.push(createHash('sha256').update(written.text).digest('hex'));
      return written;
    };
    await push(site.pushInput({ policy }));
    expect(digests).toEqual(sent);
    // A KBS that cannot delete gets random bytes in the place of the key.
    const removal = era === 'main' ? 'DELETE' : 'POST';
    expect(planned.map((line) => line.replace('DELETE', removal))).toEqual(changes(site.log));
    expect(planned).toContain(`DELETE /kbs/v0/resource/${old.resourcePath}`);
    // Nothing is left to be taken back.
    expect([...(await dryRun(site)).matchAll(/resource-policy$/gm)]).toHaveLength(1);
  });

  test('never gives an old digest a right to the new key, nor a new one to the old', async () => {
    await using site = await adminSite({ era });
    const { old, record } = await builtAgain(site);
    const { text } = await writePolicy(site.policyDirectory);
    const entry = (path: string) => text.slice(text.indexOf(`"${path}": \``)).split('`')[1]!;
    expect(entry(old.resourcePath)).toContain(old.digests[0]!.hex);
    expect(entry(old.resourcePath)).not.toContain(newDigest);
    expect(entry(record.resourcePath)).toContain(newDigest);
    expect(entry(record.resourcePath)).not.toContain(old.digests[0]!.hex);
  });

  test('takes the old key away from the KBS, and forgets the old image', async () => {
    await using site = await adminSite({ era });
    const { old, oldKey } = await builtAgain(site);
    await push(site.pushInput());
    expect(await resourceAt(site, old.resourcePath)).not.toBe(oldKey);
    expect(await image(site)).not.toHaveProperty('previous');
  });

  test('that has no new key to bring leaves the old image its right', async () => {
    await using site = await adminSite({ era });
    const { old, oldKey } = await builtAgain(site);
    await push(site.pushInput({ keyFolders: [join(site.folder, 'elsewhere')] }));
    expect(await resourceAt(site, old.resourcePath)).toBe(oldKey);
    expect(await site.kbs.received.policy()).toContain(old.digests[0]!.hex);
    expect((await image(site)).previous?.status).toBe('active');
  });

  test('that was cut off after the new key takes the old right away when it is done again', async () => {
    await using site = await adminSite({ era });
    const { old, oldKey, record, key } = await builtAgain(site);
    let asked = 0;
    const cutOff = async () => {
      asked += 1;
      if (asked > 1) throw new Error('cut off');
      return writePolicy(site.policyDirectory);
    };
    await expect(push(site.pushInput({ policy: cutOff }))).rejects.toThrow('cut off');
    // Both can have their key: the old one has not lost it yet.
    expect(await resourceAt(site, old.resourcePath)).toBe(oldKey);
    expect(await resourceAt(site, record.resourcePath)).toBe(key);
    expect(await site.kbs.received.policy()).toContain(old.digests[0]!.hex);
    await push(site.pushInput());
    expect(await site.kbs.received.policy()).not.toContain(old.digests[0]!.hex);
    expect(await resourceAt(site, old.resourcePath)).not.toBe(oldKey);
    expect(await resourceAt(site, record.resourcePath)).toBe(key);
  });
});
