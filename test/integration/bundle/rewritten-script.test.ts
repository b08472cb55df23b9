// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the shell's
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  describeFiles,
  type Manifest,
  type VerifyOptions,
  verifyBundle,
  writeManifest,
} from '../../../src/bundle/index.ts';
import { type WorkDirectory, workDirectory } from '../../../src/host/temp.ts';
import { earlierRecordOf, makeMeasuredBundle, recordOf } from './measured-bundle.ts';

let top: WorkDirectory;
let folder: string;
let script: string;
let manifest: Manifest;

beforeEach(async () => {
  top = await workDirectory();
  ({ folder, manifest } = await makeMeasuredBundle(top.path));
  script = join(folder, 'launch_vm.sh');
});
afterEach(() => top[Symbol.asyncDispose]());

type Edit = (text: string) => string;

const replaced =
  (piece: string, replacement: string): Edit =>
  (text) => {
    expect(text.split(piece), piece).toHaveLength(2);
    return text.replace(piece, () => replacement);
  };
const after = (piece: string, added: string) => replaced(piece, `${piece}${added}`);
const before = (piece: string, added: string) => replaced(piece, `${added}${piece}`);
const both =
  (...edits: Edit[]): Edit =>
  (text) =>
    edits.reduce((edited, edit) => edit(edited), text);

const print = `printf '%q ' "$@"`;
const start = '\nfinish "${command[@]}"';

/** The assignment to a variable as the script's last line. */
const atTheEnd =
  (variable: string): Edit =>
  (text) => {
    const [line] = new RegExp(`^${variable}=.*\n`, 'm').exec(text)!;
    return `${text.replace(line, () => '')}${line}`;
  };

/** An option taken out of QEMU's command and given to the line that only prints it. */
const onlyPrinted = (option: string) => both(replaced(option, ''), after(print, ` ${option}`));

/** Changes script and manifest together, so that the two agree. */
async function forge(edit: Edit, change: Partial<Manifest> = {}): Promise<void> {
  const text = await readFile(script, 'utf8');
  await writeFile(script, edit(text));
  await writeManifest(folder, { ...manifest, files: await describeFiles(folder), ...change });
}

async function verified(options: VerifyOptions = {}) {
  const { checks, whole } = await verifyBundle(folder, options);
  const of = (name: string) => checks.find((check) => check.name === name)!.findings;
  return { whole, files: of('files'), script: of('launch_vm.sh'), record: of('hand-off record') };
}

const hiddenOption = before(start, '\nd=-; command+=("${d}append" init=/bin/sh)');

const rewritten: [string, Edit][] = [
  ...['cpu', 'policy', 'cmdline', 'measured_counts'].map((variable): [string, Edit] => [
    `${variable} set after its use`,
    atTheEnd(variable),
  ]),
  ...[
    '-append "$cmdline"',
    '-cpu "$cpu"',
    '-smp "$count"',
    '-bios "$here/OVMF.amdsev.fd"',
    '-initrd "$here/initrd.img"',
    '-kernel "$here/vmlinuz"',
  ].map((option): [string, Edit] => [`${option} given to printf and not to QEMU`, onlyPrinted(option)]),
  ['a no-break space, to bash a letter', after('checks=yes', '\u00a0')],
  ['a carriage return', after('checks=yes', '\r')],
  ['a vertical tab', after('checks=yes', '\v')],
  ['a line separator', after('checks=yes', '\u2028')],
  ['an option in pieces', hiddenOption],
  ['a blank more between quotes', replaced("printf '%q '", "printf '%q  '")],
  ['a blank line in a here-document', before('Usage: launch_vm.sh', '\n')],
  ['a comment that ends a continued line', after("enabled on this machine' \\\n", '# more\n')],
  ['an empty line that ends a continued line', after("enabled on this machine' \\\n", '\n')],
  ['a process beside the counts', replaced("('2' '4' '8')", "('2' '4' '8' > /tmp/x)")],
];

describe('a script rewritten with its manifest', () => {
  test.each(rewritten)('%s: fails without the record', async (_, edit) => {
    await forge(edit);
    const { whole, files, script: findings, record } = await verified();
    expect(files).toEqual([]);
    expect(findings.map(({ severity }) => severity)).toContain('failure');
    expect(record).toMatchObject([{ severity: 'not checked', text: expect.stringContaining('own word') }]);
    expect(whole).toBe(false);
  });

  test.each(rewritten)('%s: fails with the record, which names the file', async (_, edit) => {
    const record = recordOf(manifest);
    await forge(edit);
    const { whole, files, record: findings } = await verified({ record });
    expect(files).toEqual([]);
    expect(findings).toMatchObject([
      {
        subject: 'launch_vm.sh',
        severity: 'failure',
        text: "is not the file of the administrator's record",
        expected: `SHA-256 ${record.files['launch_vm.sh']}`,
      },
    ]);
    expect(whole).toBe(false);
  });

  test.each(rewritten)('%s: fails with a record that lists no files', async (_, edit) => {
    await forge(edit);
    const { whole, script: findings } = await verified({ record: earlierRecordOf(manifest) });
    expect(findings.map(({ severity }) => severity)).toContain('failure');
    expect(whole).toBe(false);
  });
});

describe('a rewritten script whose manifest names another builder', () => {
  beforeEach(() => forge(hiddenOption, { builder_version: '0.0.9' }));

  test('is not called checked without the record', async () => {
    const { script: findings } = await verified();
    expect(findings).toMatchObject([
      { severity: 'not checked', text: expect.stringContaining('by version 0.0.9') },
    ]);
  });

  test('fails with the record', async () => {
    const { whole, record } = await verified({ record: recordOf(manifest) });
    expect(record).toMatchObject([{ subject: 'launch_vm.sh', severity: 'failure' }]);
    expect(whole).toBe(false);
  });

  test('fails with a record that lists no files', async () => {
    const { whole, script: findings } = await verified({ record: earlierRecordOf(manifest) });
    expect(findings).toMatchObject([
      { severity: 'failure', text: expect.stringContaining('by version 0.0.9') },
    ]);
    expect(whole).toBe(false);
  });

  test('fails without the record where a value is set after its use', async () => {
    await writeFile(script, atTheEnd('cmdline')(await readFile(script, 'utf8')));
    const { script: findings } = await verified();
    expect(findings).toContainEqual(
      expect.objectContaining({
        subject: 'command line',
        severity: 'failure',
        text: expect.stringContaining('set only after'),
      }),
    );
  });
});

describe('the record of the files', () => {
  test.each([
    'OVMF.amdsev.fd',
    'README.txt',
    'initrd.img',
    'user_config.qcow2',
    'vmlinuz',
  ] as const)('names %s, changed together with the manifest', async (name) => {
    const record = recordOf(manifest);
    await appendFile(join(folder, name), 'x');
    const files = await describeFiles(folder);
    const firmware = { ...manifest.firmware, sha256: files['OVMF.amdsev.fd'].sha256 };
    await writeManifest(folder, { ...manifest, files, firmware });
    const { whole, record: findings } = await verified({ record });
    expect(findings).toContainEqual({
      subject: name,
      severity: 'failure',
      text: "is not the file of the administrator's record",
      expected: `SHA-256 ${record.files[name]}`,
      found: `SHA-256 ${files[name].sha256}`,
    });
    expect(whole).toBe(false);
  });

  test('vouches for the script of another builder', async () => {
    await forge(replaced('vmport=off', 'vmport=on'), { builder_version: '0.0.9' });
    const record = recordOf({ ...manifest, files: await describeFiles(folder) });
    expect(await verified({ record })).toEqual({ whole: true, files: [], script: [], record: [] });
  });

  test('vouches for no value that was not measured', async () => {
    await forge(replaced("cpu='EPYC-v4'", 'cpu=EPYC-Milan'));
    const record = recordOf({ ...manifest, files: await describeFiles(folder) });
    expect((await verified({ record })).script).toMatchObject([{ subject: 'CPU model' }]);
  });

  test('may be missing: a note says what is not compared then', async () => {
    const { whole, record } = await verified({ record: earlierRecordOf(manifest) });
    expect(record).toMatchObject([
      { severity: 'not checked', text: expect.stringContaining('user_config.qcow2') },
    ]);
    expect(whole).toBe(true);
  });

  test('holds a file that the bundle does not have: that is a failure', async () => {
    const complete = recordOf(manifest);
    const record = { ...complete, files: { ...complete.files, 'more.bin': '0'.repeat(64) } };
    expect((await verified({ record })).record).toMatchObject([
      { subject: 'more.bin', severity: 'failure', text: expect.stringContaining('is missing') },
    ]);
  });
});
