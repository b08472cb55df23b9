import { chmod, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';
import { runPushScript } from '../../../src/kbs/client/push-script.ts';
import { policyPath } from '../../../src/kbs/policy/policy.ts';
import { type AdminSite, adminSite } from './client-admin.ts';

/** Stands for kbs-client as it is up to v0.20, or later: writes its arguments down; prints the secret, as the real one does. */
const client = (flag: string) => `#!/bin/bash
case "$*" in
    "config --help") echo "  ${flag} <FILE>"; exit 0 ;;
    *set-resource\\ *) echo "Set resource success"; base64 "\${!#}" ;;
    *) echo "Set policy success" ;;
esac
printf '%s\\n' "$*" >> "$(dirname "$0")/calls"
`;

async function withScript(site: AdminSite, text?: string, mode = 0o755): Promise<string> {
  const script = join(site.policyDirectory, 'set-policy.sh');
  if (text === undefined) await copyFile(templatePath('set-policy.sh'), script);
  else await writeFile(script, text);
  await chmod(script, mode);
  return script;
}

async function run(
  site: AdminSite,
  built: Awaited<ReturnType<AdminSite['build']>>[],
  more = {},
  lines: string[] = [],
) {
  const path = policyPath(site.policyDirectory);
  const result = await runPushScript({
    policyDirectory: site.policyDirectory,
    policy: { path, text: await readFile(path, 'utf8') },
    keys: built.map(({ image, keyFile }) => ({ image, file: keyFile, copies: [], unfinished: [] })),
    kbs: {
      url: 'https://kbs.example',
      caFile: '/ca.crt',
      client: join(site.folder, 'bin/kbs-client'),
      ...more,
    },
    signal: new AbortController().signal,
    output: (line) => lines.push(line),
  });
  return { ...result, lines };
}

async function withClient(site: AdminSite, flag: string): Promise<() => Promise<string[]>> {
  const bin = join(site.folder, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'kbs-client'), client(flag), { mode: 0o755 });
  return async () => (await readFile(join(bin, 'calls'), 'utf8')).trimEnd().split('\n');
}

describe('the shipped script', () => {
  test.each([
    ['--auth-private-key', { adminKeyFile: '/admin.key' }, '--auth-private-key /admin.key'],
    ['--admin-token-file', { adminTokenFile: '/token' }, '--admin-token-file /token'],
  ])('uses %s, stores the policy first, and shows no key', async (flag, credential, words) => {
    await using site = await adminSite();
    const built = [await site.build(1), await site.build(2)];
    const calls = await withClient(site, flag);
    await withScript(site);
    const { left, lines } = await run(site, built, credential);
    const common = `--url https://kbs.example --cert-file /ca.crt config ${words}`;
    expect(await calls()).toEqual([
      `${common} set-resource-policy --policy-file ${policyPath(site.policyDirectory)}`,
      ...built.map(
        ({ image, keyFile }) =>
          `${common} set-resource --path ${image.resourcePath} --resource-file ${keyFile}`,
      ),
    ]);
    expect(left).toEqual([]);
    for (const { key, keyFile } of built) {
      expect(lines.join('\n')).not.toContain(Buffer.from(key).toString('base64').slice(0, 40));
      await expect(stat(keyFile)).rejects.toThrow(/ENOENT/);
    }
  });

  test.each([
    ['--auth-private-key', { adminTokenFile: '/token' }, /needs kbs.admin_key/],
    ['--admin-token-file', { adminKeyFile: '/key' }, /needs kbs.admin_token/],
    ['--something', { adminKeyFile: '/key' }, /no kbs-client known here/],
  ])('with %s and the wrong credential does nothing', async (flag, credential, message) => {
    await using site = await adminSite();
    const built = [await site.build(1)];
    await withClient(site, flag);
    await withScript(site);
    const lines: string[] = [];
    await expect(run(site, built, credential, lines)).rejects.toThrow('ended with status 1');
    expect(lines.join('\n')).toMatch(message);
    await expect(stat(join(site.folder, 'bin/calls'))).rejects.toThrow(/ENOENT/);
    await stat(built[0]!.keyFile);
  });

  test('keeps the key file where the broker did not take the key', async () => {
    await using site = await adminSite();
    const built = [await site.build(1)];
    await withClient(site, '--auth-private-key');
    await writeFile(
      join(site.folder, 'bin/kbs-client'),
      '#!/bin/sh\necho --auth-private-key\ncase "$*" in *set-resource\\ *) exit 1;; esac\n',
    );
    await withScript(site);
    await expect(run(site, built, { adminKeyFile: '/key' })).rejects.toThrow(/ended with status 1/);
    expect(await readFile(built[0]!.keyFile, 'utf8')).toBe(built[0]!.key);
  });
});

describe('a script of the administrator', () => {
  let site: AdminSite;
  beforeEach(async () => {
    site = await adminSite();
    return () => site[Symbol.asyncDispose]();
  });

  test('that ignores the keys loses none', async () => {
    const built = [await site.build(1)];
    await withScript(site, '#!/bin/sh\necho "$1"; echo oops >&2\n');
    const { left, lines } = await run(site, built);
    expect(left).toEqual([built[0]!.keyFile]);
    expect(lines.sort()).toEqual([policyPath(site.policyDirectory), 'oops'].sort());
  });

  test('is told nothing but what it needs', async () => {
    await site.build(1);
    await withScript(site, '#!/bin/sh\nenv\n');
    process.env.CVM_TEST_SECRET = 'hunter2';
    const { lines } = await run(site, [], { adminKeyFile: '/key' });
    delete process.env.CVM_TEST_SECRET;
    const names = lines.map((line) => line.split('=')[0]).filter((name) => name?.startsWith('CVM_'));
    expect(names.sort()).toEqual(['CVM_KBS_ADMIN_KEY', 'CVM_KBS_CA', 'CVM_KBS_CLIENT', 'CVM_KBS_URL']);
    expect(lines.join('\n')).not.toContain('hunter2');
  });

  test('its status counts', async () => {
    await site.build(1);
    const script = await withScript(site, '#!/bin/sh\nexit 7\n');
    await expect(run(site, [])).rejects.toThrow(`cannot push with ${script}: it ended with status 7`);
  });

  test.each([
    [0o777, /other accounts may write it/],
    [0o775, /other accounts may write it/],
    [0o644, /not executable/],
  ])('of mode %o is not run', async (mode, message) => {
    await site.build(1);
    await withScript(site, `#!/bin/sh\ntouch ${site.folder}/ran\n`, mode);
    await expect(run(site, [])).rejects.toThrow(message);
    await expect(stat(join(site.folder, 'ran'))).rejects.toThrow(/ENOENT/);
  });

  test('in a folder where everybody may replace it is not run', async () => {
    await site.build(1);
    await withScript(site, '#!/bin/sh\n');
    await chmod(site.policyDirectory, 0o777);
    await expect(run(site, [])).rejects.toThrow(/every account may replace it/);
  });

  test('that is missing is asked for', async () => {
    await site.build(1);
    await expect(run(site, [])).rejects.toMatchObject({
      hint: expect.stringContaining('templates/set-policy.sh'),
    });
  });

  test('is ended by an interruption', async () => {
    await site.build(1);
    await withScript(site, '#!/bin/sh\nexec sleep 60\n');
    const path = policyPath(site.policyDirectory);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('interrupted')), 300);
    const { policyDirectory } = site;
    const input = { policyDirectory, policy: { path, text: '' }, keys: [], kbs: {}, output: () => {} };
    await expect(runPushScript({ ...input, signal: stop.signal })).rejects.toThrow('interrupted');
  });
});
