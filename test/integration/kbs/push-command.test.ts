import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { adminSite, builderFile } from './client-admin.ts';

/** Runs a command's function in a process of its own, so that streams and status are those of the command. */
async function command(
  module: string,
  name: string,
  flags: object,
  environment: Record<string, string> = {},
) {
  const href = (file: string) => JSON.stringify(new URL(`../../../src/${file}`, import.meta.url).href);
  const program = `
    const { ${name} } = await import(${href(module)});
    const { renderError } = await import(${href('report/error.ts')});
    try { await ${name}(${JSON.stringify(flags)}); } catch (error) {
      const { text, status } = renderError(error);
      console.error(text);
      process.exitCode = status;
    }`;
  const options = { reject: false, all: true, env: environment } as const;
  const done = await execa(process.execPath, ['--input-type=module', '-e', program], options);
  return { out: done.stdout, error: done.stderr, all: done.all, status: done.exitCode };
}

const push = (flags: object) => command('cli/policy/push.ts', 'policyPushCommand', flags);
const check = (flags: object) => command('cli/kbs-check.ts', 'kbsCheckCommand', flags);

test('cvm policy push does what its dry run showed; the dry run asks nobody and changes nothing', async () => {
  await using site = await adminSite({ era: 'main' });
  const { image, key, keyFile } = await site.build(1);
  const config = await builderFile(site);
  const dry = await push({ config, dryRun: true });
  expect(dry.status).toBe(0);
  expect(site.log).toEqual([]);
  expect(await readFile(keyFile, 'utf8')).toBe(key);
  const planned = [...dry.out.matchAll(/^POST (\S+)$/gm)].map(([, url]) => url!.replace(site.kbs.url, ''));
  expect(planned).toEqual([
    '/kbs/v0/resource-policy',
    `/kbs/v0/resource/${image.resourcePath}`,
    '/kbs/v0/reference-value',
  ]);
  const done = await push({ config });
  expect(done).toMatchObject({ status: 0, out: expect.stringContaining('1 keys, 1 active images') });
  const stored = site.log.filter((line) => / 200\b/.test(line) && line.includes('POST'));
  expect(stored.map((line) => /POST (\S+)/.exec(line)![1])).toEqual(planned);
  await expect(stat(keyFile)).rejects.toThrow(/ENOENT/);
  const adminKey = (await readFile(site.kbs.adminKeyFile, 'utf8')).split('\n')[1]!;
  for (const text of [dry.all, done.all]) {
    expect(text).not.toContain(key);
    expect(text).not.toContain(adminKey);
    expect(text).not.toMatch(/eyJ/);
  }
});

test('cvm policy push --handoff looks in that folder only', async () => {
  await using site = await adminSite();
  const [one, two] = [await site.build(1), await site.build(2)];
  const handoff = [join(site.handoff, `cvm_${two.image.id}`)];
  expect((await push({ config: await builderFile(site), handoff })).status).toBe(0);
  await stat(one.keyFile);
  await expect(stat(two.keyFile)).rejects.toThrow(/ENOENT/);
});

test('cvm policy push refuses an unsafe KBS with each remedy, and goes on when told to', async () => {
  await using site = await adminSite({ insecureTokens: true });
  const { keyFile } = await site.build(1);
  const config = await builderFile(site);
  const refused = await push({ config });
  expect(refused).toMatchObject({
    status: 1,
    error: expect.stringMatching(/forged.*\n.*insecure_key.*\nhint/),
  });
  await stat(keyFile);
  const accepted = await push({ config, acceptInsecureKbs: true });
  expect(accepted).toMatchObject({ status: 0, error: expect.stringContaining('warning: a forged') });
});

test('cvm policy push --dev is refused: development images are never pushed', async () => {
  await using site = await adminSite();
  expect(await push({ config: await builderFile(site), dev: true })).toMatchObject({
    status: 2,
    error: expect.stringContaining('cannot push development images'),
  });
  expect(site.log).toEqual([]);
});

test('kbs.push: script runs the script; what it prints cannot drive the terminal', async () => {
  await using site = await adminSite();
  const { keyFile } = await site.build(1);
  const config = await builderFile(site, { push: 'script' });
  const script = join(site.policyDirectory, 'set-policy.sh');
  await writeFile(script, `#!/bin/sh\nprintf 'stored \\033[2J%s\\n' "$2"\nrm "$3"\n`);
  await chmod(script, 0o755);
  const dry = await push({ config, dryRun: true });
  expect(dry.out).toMatch(/^\S*set-policy.sh \S+policy.rego keys\/root\/0+1 \S+disk.key$/);
  await stat(keyFile);
  const { all, status } = await push({ config });
  expect(status).toBe(0);
  expect(all).toMatch(/stored \\u\{1b\}\[2Jkeys\/root\/0+1/);
  await expect(stat(keyFile)).rejects.toThrow(/ENOENT/);
  await using unsafe = await adminSite({ insecureTokens: true });
  await writeFile(
    config,
    (await readFile(config, 'utf8'))
      .replaceAll(site.kbs.url, unsafe.kbs.url)
      .replaceAll(site.kbs.caFile, unsafe.kbs.caFile),
  );
  expect(await push({ config })).toMatchObject({ status: 1, error: expect.stringContaining('forged') });
});

test('cvm kbs check: words, JSON, and a status that tells bad from good', async () => {
  await using good = await adminSite({ era: 'main' });
  const fine = await check({ config: await builderFile(good) });
  expect(fine).toMatchObject({
    status: 0,
    out: expect.stringMatching(/^ok {7}forged attestation tokens were refused$/m),
  });
  await using bad = await adminSite({ era: 'main', insecureTokens: true });
  const config = await builderFile(bad);
  expect(await check({ config })).toMatchObject({
    status: 1,
    out: expect.stringMatching(/^bad .*forged.*\n +remedy: /),
  });
  const json = await check({ config, json: true });
  expect(json.status).toBe(1);
  expect(JSON.parse(json.out)).toMatchObject({
    url: bad.kbs.url,
    findings: expect.arrayContaining([expect.objectContaining({ id: 'forged-token', severity: 'bad' })]),
  });
});

test("cvm kbs check --url never takes builder.yml's credential to another KBS", async () => {
  await using site = await adminSite({ era: 'main' });
  await using other = await adminSite({ era: 'main' });
  const config = await builderFile(site);
  const { out, status } = await check({ config, url: other.kbs.url, ca: other.kbs.caFile });
  expect([status, out]).toEqual([0, expect.stringContaining('no administrator credential was given')]);
  const given = await check({
    config,
    url: other.kbs.url,
    ca: other.kbs.caFile,
    adminKey: other.kbs.adminKeyFile,
  });
  expect(given.out).toMatch(/^ok .*credential is accepted/m);
});
