import type { LintRule } from '../../../src/kbs/policy/lint.ts';
import type { Answer } from './engines.ts';

/** A policy text that lint refuses or warns about, and what the engines make of it. */
export interface Row {
  title: string;
  text: string;
  /** What lint refuses it for; none where it accepts it, or no more than warns. */
  lint: readonly LintRule[];
  /** Who asks: a stranger, to whom nothing is due, or a guest whom the text means to let in. */
  asks: 'stranger' | 'guest';
  /** How the resource path is told. */
  path: 'text' | 'list';
  /** Answers of regorus 0.2.8 and 0.11.0. */
  field: Answer;
  main: Answer;
  /** What 0.11.0 says, where it refuses to load the text. */
  words?: RegExp;
}

const digest = 'ab'.repeat(48);
const evidence = 'input.submods.cpu0["ear.veraison.annotated-evidence"]';
const is = `${evidence}.snp.measurement == "${digest}"`;
/** One rule for either form of the path, with more conditions at their end. */
const bound = (more = '') =>
  ['"resource/keys/root/one"', '["keys", "root", "one"]']
    .map((path) => `allow if {\n\t${is}\n\tdata["resource-path"] == ${path}${more}\n}\n`)
    .join('\n');
const head = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n\n';

const frame = (evidence: object) => ({
  submods: { cpu0: { 'ear.status': 'affirming', 'ear.veraison.annotated-evidence': evidence } },
});

/** Claims by who asks. A stranger without a TEE has sample evidence, which key brokers always take. */
export const inputs = {
  stranger: frame({ sample: { svn: '1', launch_digest: 'abcde' } }),
  guest: frame({ snp: { measurement: digest, policy_debug_allowed: false, policy_migrate_ma: false } }),
} as const;

export const data = {
  text: { 'resource-path': 'resource/keys/root/one' },
  list: { plugin: 'resource', 'resource-path': ['keys', 'root', 'one'], query: {} },
} as const;

const row = (
  title: string,
  text: string,
  lint: readonly LintRule[],
  rest: Omit<Row, 'title' | 'text' | 'lint'>,
) => ({
  ...{ title, text, lint, ...rest },
});

/** To everybody on both. */
const open = { asks: 'stranger', path: 'list', field: 'true', main: 'true' } as const;

export const rows: readonly Row[] = [
  row(
    'the old documented entry: dead on newer engines',
    `package policy\n\ndefault allow = false\n\nallow {\n\t${is}\n}\n`,
    ['rule-without-if', 'allow-any-path'],
    { asks: 'guest', path: 'list', field: 'true', main: 'error', words: /`if` keyword is required/ },
  ),
  row('"if" with the import: what it says, on both', `${head}${bound()}`, [], {
    asks: 'stranger',
    path: 'list',
    field: 'false',
    main: 'false',
  }),
  row(
    '"if" without the import: open to everybody on older engines',
    `package policy\n\nallow if {\n\t${is}\n}\n`,
    ['import-missing', 'allow-any-path'],
    { asks: 'stranger', path: 'text', field: 'true', main: 'undefined' },
  ),
  row(
    'and so it is with a default below it',
    `package policy\n\ndefault allow := false\n\nallow if {\n\t${is}\n}\n`,
    ['import-missing', 'allow-any-path'],
    { asks: 'stranger', path: 'text', field: 'true', main: 'false' },
  ),
  row(
    'import of future keywords: what it says, on both',
    `package policy\n\nimport future.keywords.if\nimport future.keywords.in\n\ndefault allow := false\n\n${bound()}`,
    [],
    { asks: 'guest', path: 'list', field: 'true', main: 'true' },
  ),
  row(
    '"in" without its import: dead on older engines',
    `package policy\n\nimport future.keywords.if\n\ndefault allow := false\n\nallow if {\n\t${evidence}.snp.measurement in {"${digest}"}\n\tdata["resource-path"]\n}\n`,
    ['import-missing'],
    { asks: 'guest', path: 'text', field: 'error', main: 'true' },
  ),
  row(
    'split of a path that may be a list: dead on newer engines',
    `${head}allow if {\n\t${is}\n\tsplit(data["resource-path"], "/")[3] == "one"\n}\n`,
    ['path-unguarded'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row(
    'and it works on older ones, with the plugin in front',
    `${head}allow if {\n\t${is}\n\tsplit(data["resource-path"], "/") == ["resource", "keys", "root", "one"]\n}\n`,
    ['path-unguarded'],
    { asks: 'guest', path: 'text', field: 'true', main: 'true' },
  ),
  row(
    'another package: never asked',
    `package agent_policy\n\nimport rego.v1\n\ndefault allow := true\n`,
    ['package'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row(
    'two values of allow: an error where both hold',
    `${head}allow := true\n\nallow := false if input.submods\n`,
    ['allow-conflict', 'allow-always'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row(
    'no allow at all: older engines call every denial an error',
    'package policy\n\nimport rego.v1\n\nx := 1\n',
    ['allow-undefined'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row('an allow without a condition', `${head}allow := true\n`, ['allow-always'], open),
  row(
    'an allow by default',
    'package policy\n\nimport rego.v1\n\ndefault allow := true\n',
    ['allow-always'],
    open,
  ),
  row('an allow by way of a helper', `${head}allow if helper\n\nhelper := 1 == 1\n`, ['allow-always'], open),
  row(
    'the shipped default: open to every SNP machine, whatever runs there',
    `${head}allow if not ${evidence}.sample\n`,
    ['allow-sample'],
    { asks: 'guest', path: 'list', field: 'true', main: 'true' },
  ),
  row('sample evidence itself', `${head}allow if ${evidence}.sample.svn == "1"\n`, ['allow-sample'], open),
  row(
    'the affirming policy: open to all whom the attestation policy likes',
    `${head}allow if input.submods.cpu0["ear.status"] == "affirming"\n`,
    ['allow-any-path'],
    open,
  ),
  row(
    'an allow that is a set: no answer',
    `package policy\n\nimport rego.v1\n\nallow contains "x" if ${is}\n`,
    ['allow-not-boolean'],
    { asks: 'guest', path: 'list', field: 'error', main: 'other' },
  ),
  row('an allow that is a text: no answer', `${head}allow := "yes" if ${is}\n`, ['allow-not-boolean'], {
    asks: 'guest',
    path: 'list',
    field: 'error',
    main: 'other',
  }),
  row(
    'a function that key brokers are built without',
    `${head}${bound('\n\tcrypto.sha256("x") != ""')}`,
    ['unknown-function'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row(
    'a keyword that is imported twice: does not load',
    `package policy\n\nimport rego.v1\nimport future.keywords.if\n\ndefault allow := false\n\n${bound()}`,
    ['import'],
    { asks: 'guest', path: 'list', field: 'error', main: 'error' },
  ),
  row(
    'membership of null, of a text, of a list of texts: false, and no error',
    `${head}allow if "x" in null\n\nallow if "x" in "x"\n\nallow if 1 in ["1"]\n`,
    ['allow-always'],
    { asks: 'guest', path: 'list', field: 'false', main: 'false' },
  ),
];

/** Texts at a limit of the newest engines on what they load, and right behind it. Older ones have none of them. */
export const limits: readonly { title: string; within: string; beyond: string; words: RegExp }[] = [
  {
    title: '1 MiB',
    within: filledTo(1 << 20),
    beyond: filledTo((1 << 20) + 1),
    words: /exceeds maximum allowed policy file size 1048576 bytes/,
  },
  {
    title: '20,000 lines',
    within: `${head}allow if ${is}\n${'\n'.repeat(19_990)}`,
    beyond: `${head}allow if ${is}\n${'\n'.repeat(20_000)}`,
    words: /exceeds maximum allowed line count 20000/,
  },
  {
    title: '1,024 columns',
    within: `${head}x := "${'y'.repeat(1000)}"\n\nallow if ${is}\n`,
    beyond: `${head}x := "${'y'.repeat(1024)}"\n\nallow if ${is}\n`,
    words: /exceeds maximum column width of 1024/,
  },
];

/** A policy of so many bytes, in lines of comments. */
function filledTo(bytes: number): string {
  const text = `${head}allow if ${is}\n`;
  const line = `# ${'x'.repeat(97)}\n`;
  const rest = bytes - text.length;
  return `${text}${line.repeat(Math.floor(rest / line.length) - 1)}# ${'x'.repeat((rest % line.length) + 97)}\n`;
}
