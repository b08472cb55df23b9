import { copyFile, lstat, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { which } from '../../../src/host/tools.ts';
import { policyPath, writePolicy } from '../../../src/kbs/policy/policy.ts';
import { addImage, readRegistry } from '../../../src/kbs/registry/registry.ts';
import { digestOf, imageOf } from '../../unit/kbs/records.ts';

const engine = process.env.OPA ?? which('opa') ?? '';
const withEngine = engine === '' ? {} : { opa: engine };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'policy-commands-'));
});

afterEach(() => rm(folder, { recursive: true }));

/** Runs one command's function in a process of its own, as the command line does. */
async function cvm(command: string, ...args: unknown[]) {
  const module = new URL(`../../../src/cli/policy/${command}.ts`, import.meta.url).href;
  const error = new URL('../../../src/report/error.ts', import.meta.url).href;
  const program = `
    const { ${command}Command } = await import(${JSON.stringify(module)});
    try {
      await ${command}Command(...JSON.parse(process.argv[1]).map((value) => value ?? undefined));
    } catch (error) {
      const { text, status } = (await import(${JSON.stringify(error)})).renderError(error, { colour: false });
      process.stderr.write(text);
      process.exitCode = status;
    }
  `;
  const result = await execa(process.execPath, ['--input-type=module', '-e', program, JSON.stringify(args)], {
    reject: false,
    stdin: 'ignore',
  });
  const { exitCode: status, stdout, stderr } = result;
  return { status, stdout, stderr };
}

async function twoImages() {
  await addImage(folder, imageOf(0xabc1, { role: 'client' }));
  await addImage(folder, imageOf(0xabd1));
  await writePolicy(folder);
}

describe('cvm policy list and show', () => {
  test('list shows active images, and all of them where asked', async () => {
    await addImage(folder, imageOf(1, { name: 'site' }));
    await addImage(folder, imageOf(2, { name: 'site' }));
    const active = await cvm('list', { directory: folder });
    expect(active.stdout).not.toContain(`keys/root/${imageOf(1).id}`);
    expect(active.stdout).toMatch(
      /000000000002 {2}site +project +- +active +keys\/root\/000000000002 +2026-01-02 +1/,
    );
    expect(active.stdout).toContain('1 active, 1 retired (--all)');
    expect((await cvm('list', { directory: folder, all: true })).stdout).toMatch(
      /retired +keys\/root\/000000000001/,
    );
    const json = JSON.parse((await cvm('list', { directory: folder, json: true })).stdout);
    expect(json).toEqual([imageOf(2, { name: 'site' })]);
  });

  test('list of a folder without a registry is empty', async () => {
    expect(await cvm('list', { directory: folder })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('0 active'),
    });
  });

  test('show takes the beginning of an id, if one id begins so', async () => {
    await twoImages();
    const { stdout, status } = await cvm('show', '00000000abc', { directory: folder });
    expect(status).toBe(0);
    expect(stdout).toContain('keys/root/00000000abc1');
    expect(stdout).toContain(digestOf(`image ${0xabc1}`));
    expect(stdout).toContain(Buffer.from(digestOf(`image ${0xabc1}`), 'hex').toString('base64'));
    const several = await cvm('show', '0000', { directory: folder });
    expect(several).toMatchObject({ status: 2, stderr: expect.stringContaining('2 ids begin so') });
    expect((await cvm('show', 'ffff', { directory: folder })).stderr).toContain('no id in');
    expect((await cvm('show', '', { directory: folder })).status).toBe(2);
  });
});

describe('cvm policy retire', () => {
  test('takes the image out of registry and policy, and says what remains', async () => {
    await twoImages();
    const { status, stdout } = await cvm('retire', '00000000abc1', { directory: folder });
    expect(status).toBe(0);
    expect(stdout).toContain('retired image 00000000abc1');
    expect(stdout).toContain('delete the key at keys/root/00000000abc1');
    expect((await readRegistry(folder))?.images.map((image) => image.status)).toEqual(['retired', 'active']);
    const policy = await readFile(policyPath(folder), 'utf8');
    expect(policy).not.toContain('00000000abc1');
    expect(policy).toContain('00000000abd1');
  });

  test('changes nothing where the policy could not be written', async () => {
    await twoImages();
    const text = `${await readFile(policyPath(folder), 'utf8')}\nallow := true\n`;
    await writeFile(policyPath(folder), text);
    const { status, stderr } = await cvm('retire', '00000000abc1', { directory: folder });
    expect(status).toBe(1);
    expect(stderr).toContain('cannot update the policy');
    expect((await readRegistry(folder))?.images.map((image) => image.status)).toEqual(['active', 'active']);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(text);
  });
});

describe('cvm policy lint', () => {
  test('is silent and content about what the builder wrote', async () => {
    await twoImages();
    expect(await cvm('lint', null, { directory: folder, ...withEngine })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('nothing to object to'),
    });
  });

  test('notices an entry edited by hand, with its line', async () => {
    await twoImages();
    const text = await readFile(policyPath(folder), 'utf8');
    const edited = text.replaceAll(digestOf(`image ${0xabc1}`), digestOf('other'));
    await writeFile(policyPath(folder), edited);
    const line = edited.split('\n').findIndex((each) => each.includes(digestOf('other'))) + 1;
    const { status, stdout } = await cvm('lint', null, { directory: folder });
    expect(status).toBe(1);
    expect(stdout).toContain(`policy.rego:${line}:1: refuse: edited by hand`);
  });

  test('notices that the managed part is gone', async () => {
    await twoImages();
    await writeFile(policyPath(folder), 'package policy\nimport rego.v1\ndefault allow := false\n');
    const { status, stdout } = await cvm('lint', null, { directory: folder });
    expect(status).toBe(1);
    expect(stdout).toContain('the managed part is missing');
  });

  test('of a file elsewhere: status 0 with warnings only, 1 with refusals, and JSON', async () => {
    await twoImages();
    const file = join(folder, 'elsewhere', 'x.rego');
    await expect(cvm('lint', file, {})).resolves.toMatchObject({ status: 2 });
    const copy = await mkdtemp(join(folder, 'copy-'));
    await copyFile(policyPath(folder), join(copy, 'policy.rego'));
    const unchecked = await cvm('lint', join(copy, 'policy.rego'), { json: true });
    expect(unchecked.status).toBe(0);
    expect(JSON.parse(unchecked.stdout).findings).toMatchObject([
      { severity: 'warn', rule: 'managed-unchecked' },
    ]);
    await writeFile(join(copy, 'policy.rego'), 'package policy\nallow if {\n\tinput.x\n}\n');
    const refused = await cvm('lint', join(copy, 'policy.rego'), {});
    expect(refused.status).toBe(1);
    expect(refused.stdout).toMatch(/policy\.rego:2:1: refuse: it lacks "import rego\.v1"/);
    expect(refused.stdout).toContain('  hint: write "import rego.v1" below the package');
  });
});

describe('text around the managed part that changes what it means', () => {
  const seams: [string, string, string][] = [
    ['a string', 'x := `\n', '`\n'],
    ['an object', 'x := {"a":\n', '1}\n'],
    ['an array', 'x := [1,\n', '2]\n'],
    ['a call', 'x := count(\n', ')\n'],
    ['a body', 'x if {\n', '}\n'],
    ['an else below', '', 'else := true if input.x\n'],
    ['a further body below', '', '{ input.x }\n'],
    ['a value below', '', '== true\n'],
    ['a default above', 'default\n', ''],
  ];
  test.each(seams)('%s: lint refuses it, and so does a build', async (_, above, below) => {
    await twoImages();
    const text = await readFile(policyPath(folder), 'utf8');
    const begin = text.indexOf('# BEGIN cvm-builder');
    const around = text.slice(0, begin) + above + text.slice(begin) + below;
    await writeFile(policyPath(folder), around);
    const { status, stdout } = await cvm('lint', null, { directory: folder });
    expect(status).toBe(1);
    expect(stdout).toMatch(/policy\.rego:\d+:\d+: refuse: it cannot be read/);
    await expect(writePolicy(folder)).rejects.toThrow(/cannot update the policy .*cannot be read/);
    expect(await readFile(policyPath(folder), 'utf8')).toBe(around);
  });

  test('lint refuses it in a copy without a registry', async () => {
    await twoImages();
    const text = await readFile(policyPath(folder), 'utf8');
    const copy = await mkdtemp(join(folder, 'copy-'));
    await writeFile(join(copy, 'policy.rego'), text.replace('# BEGIN', 'x := `\n# BEGIN').concat('`\n'));
    const { status, stdout } = await cvm('lint', join(copy, 'policy.rego'), {});
    expect(status).toBe(1);
    expect(stdout).toContain('apart from the managed part: a string is not closed');
  });
});

test.each([
  ['with', 'data["resource-path"] == ["a", "b", "c"] with data["resource-path"] as ["a", "b", "c"]'],
  ['a denied plugin', 'not data.plugin == "other"'],
  ['a path that is printed', 'print(data["resource-path"])'],
])('no policy is written beside an allow for any path: %s', async (_, condition) => {
  await twoImages();
  const text = await readFile(policyPath(folder), 'utf8');
  const open = `${text}\nallow if {\n\tinput.submods\n\t${condition}\n}\n`;
  await writeFile(policyPath(folder), open);
  await addImage(folder, imageOf(3));
  await expect(writePolicy(folder)).rejects.toThrow(/cannot update the policy .*this "allow"/);
  expect(await readFile(policyPath(folder), 'utf8')).toBe(open);
});

describe('a symbolic link is not replaced by a file', () => {
  test.each(['policy.rego', 'cvm-registry.json'])('%s', async (name) => {
    await twoImages();
    const target = join(folder, 'elsewhere');
    await rename(join(folder, name), target);
    await symlink(target, join(folder, name));
    const before = await readFile(target, 'utf8');
    const refusal = `cannot change ${join(folder, name)}: it is a symbolic link to ${target}`;
    await expect(addImage(folder, imageOf(3))).rejects.toThrow(refusal);
    await expect(writePolicy(folder, { minTcb: { snp: 3 } })).rejects.toThrow(refusal);
    expect((await cvm('retire', '00000000abc1', { directory: folder })).stderr).toContain(refusal);
    expect((await lstat(join(folder, name))).isSymbolicLink()).toBe(true);
    expect(await readFile(target, 'utf8')).toBe(before);
    expect((await cvm('list', { directory: folder })).stdout).toContain('2 active');
  });

  test('nor is one whose target is gone', async () => {
    await symlink('/nowhere/policy.rego', policyPath(folder));
    await expect(writePolicy(folder)).rejects.toThrow('symbolic link to /nowhere/policy.rego');
  });
});

describe('cvm policy adopt', () => {
  const claim = 'input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["snp"]["measurement"]';
  const old = `package policy\n\ndefault allow = false\n\nallow {\n  ${claim} == "${digestOf('one')}"\n}\n`;

  test('off a terminal it shows the changes and refuses to make them without --yes', async () => {
    await writeFile(policyPath(folder), old);
    const flags = { directory: folder, resource: 'keys/root/0123456789ab' };
    const asked = await cvm('adopt', null, flags);
    expect(asked.status).toBe(1);
    expect(asked.stdout).toContain(`-  ${claim} == "${digestOf('one')}"`);
    expect(asked.stderr).toContain('--yes');
    expect(await readFile(policyPath(folder), 'utf8')).toBe(old);
    const done = await cvm('adopt', null, { ...flags, yes: true });
    expect(done.status).toBe(0);
    expect((await readRegistry(folder))?.images.map(({ id }) => id)).toEqual(['0123456789ab']);
    expect(await readFile(policyPath(folder), 'utf8')).not.toContain('allow {');
    expect((await cvm('list', { directory: folder })).stdout).toContain('adopted 20');
  });

  test('a map that is none is refused', async () => {
    await writeFile(policyPath(folder), old);
    expect(await cvm('adopt', null, { directory: folder, map: ['abc'] })).toMatchObject({ status: 2 });
    expect(await cvm('adopt', null, { dev: true })).toMatchObject({ status: 2 });
  });
});

describe.skipIf(engine === '')('cvm policy test, by Open Policy Agent', () => {
  test('every answer about an image is right', async () => {
    await twoImages();
    const { status, stdout } = await cvm('test', '00000000abc1', { directory: folder, opa: engine });
    expect(status).toBe(0);
    expect(stdout).toMatch(/ok +allowed +up to v0\.16 +its own digest/);
    expect(stdout).toMatch(/ok +denied +from v0\.18 +the path of image 00000000abd1/);
  });

  test('a wrong answer is shown, with status 1', async () => {
    await twoImages();
    const text = await readFile(policyPath(folder), 'utf8');
    await writeFile(
      policyPath(folder),
      text.replaceAll('policy_debug_allowed == false', 'policy_migrate_ma == false'),
    );
    const { status, stdout } = await cvm('test', '00000000abc1', { directory: folder, opa: engine });
    expect(status).toBe(1);
    expect(stdout).toMatch(/WRONG +allowed +should be denied +from v0\.18 +debugging allowed/);
  });
});

test('cvm policy test says how to get an engine where there is none', async () => {
  await twoImages();
  const path = process.env.PATH;
  process.env.PATH = folder;
  try {
    if (which('opa') !== undefined) return;
    const { status, stderr } = await cvm('test', '00000000abc1', { directory: folder });
    expect(status).toBe(2);
    expect(stderr).toContain('no "opa" is on PATH');
    expect(stderr).toContain('hint: ');
  } finally {
    process.env.PATH = path;
  }
});
