import { describe, expect, test } from 'vitest';
import { readTemplate } from '../../../../src/host/template.ts';
import { formatFinding, lintPolicy } from '../../../../src/kbs/policy/lint.ts';
import { fillPolicy, splitPolicy } from '../../../../src/kbs/policy/text.ts';
import { imageOf } from '../records.ts';

const head = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n\n';
const { managed } = splitPolicy(fillPolicy(await readTemplate('policy.rego'), [imageOf(1)]));

/** Rule and line of everything that is refused. */
function refused(text: string, beside?: string): string[] {
  const findings = lintPolicy(text, beside === undefined ? {} : { beside });
  return findings.filter(({ severity }) => severity === 'refuse').map(({ rule, line }) => `${rule}:${line}`);
}

function warned(text: string, beside?: string): string[] {
  const findings = lintPolicy(text, beside === undefined ? {} : { beside });
  return findings.filter(({ severity }) => severity === 'warn').map(({ rule, line }) => `${rule}:${line}`);
}

describe('a sound policy', () => {
  test('is accepted', () => {
    expect(lintPolicy(head)).toEqual([]);
    expect(lintPolicy(head, { beside: managed })).toEqual([]);
    expect(lintPolicy('package policy # ours\r\nimport rego.v1 # needed\r\n', { beside: managed })).toEqual([
      expect.objectContaining({ severity: 'warn', rule: 'allow-no-default' }),
    ]);
  });

  test('of the builder itself is accepted whole', () => {
    const start = head.length;
    expect(lintPolicy(head + managed, { managed: { start, end: start + managed.length } })).toEqual([]);
  });

  test('may define what it likes besides', () => {
    const others = [
      'f(x) := y if {\n\ty := x + 1\n}',
      'names contains "a" if input.x == 1',
      'table := {"a": [1, 2], "b": {"c"}}',
      'all_small if every x in [1, 2] {\n\tx < 3\n}',
      'some_big if {\n\tsome x in input.list\n\tx >\n\t\t2; x != 9\n}',
      'one := 1 if input.x else := 2 if input.y else := 3',
      'raw := `allow { true }\npackage other`',
      'text := "allow { true } \\" # no comment"',
      '# allow := true',
    ];
    expect(lintPolicy(`${head}${others.join('\n')}\n`)).toEqual([]);
  });
});

describe('the head is refused', () => {
  test.each([
    ['no package', 'import rego.v1\ndefault allow := false\n', ['package:1']],
    ['another package', 'package agent_policy\nimport rego.v1\ndefault allow := false\n', ['package:1']],
    ['a sub-package', 'package policy.more\nimport rego.v1\ndefault allow := false\n', ['package:1']],
    ['a second package', `${head}package policy\n`, ['package:7']],
    ['a package that comes late', 'import rego.v1\npackage policy\ndefault allow := false\n', ['package:2']],
    [
      '"if" without its import',
      'package policy\nallow if {\n\tinput.x\n}\n',
      ['import-missing:2', 'allow-any-path:2'],
    ],
    [
      '"in" without its import',
      'package policy\ndefault allow := false\nx := 1 in [1]\n',
      ['import-missing:3'],
    ],
    [
      '"contains" without its import',
      'package policy\ndefault allow := false\nx contains 1\n',
      ['import-missing:3'],
    ],
    [
      '"every" with another import',
      'package policy\nimport future.keywords.if\ndefault allow := false\nx if every y in [1] { y > 0 }\n',
      ['import-missing:4', 'import-missing:4'],
    ],
    [
      'the import in a comment',
      'package policy\n# import rego.v1\nx if true\ndefault allow := false\n',
      ['import-missing:3'],
    ],
    [
      'the import in a string',
      'package policy\nx := `\nimport rego.v1\n`\ny if x\ndefault allow := false\n',
      ['import-missing:5'],
    ],
    ['an import below a rule', 'package policy\ndefault allow := false\nimport rego.v1\n', ['import:3']],
    [
      'a keyword imported twice',
      'package policy\nimport rego.v1\nimport future.keywords.if\ndefault allow := false\n',
      ['import:3'],
    ],
    [
      'the import under another name',
      'package policy\nimport rego.v1 as r\ndefault allow := false\n',
      ['import:2'],
    ],
    [
      'a keyword under another name',
      'package policy\nimport rego.v1\nimport future.keywords as k\ndefault allow := false\n',
      ['import:3', 'import:3'],
    ],
    ['an unknown version', 'package policy\nimport rego.v2\ndefault allow := false\n', ['import:2']],
    [
      'an import that hides data',
      'package policy\nimport rego.v1\nimport input as data\ndefault allow := false\n',
      ['reserved-name:3'],
    ],
    [
      'an import that hides data by its own name',
      'package policy\nimport rego.v1\nimport input.data\ndefault allow := false\n',
      ['reserved-name:3'],
    ],
    [
      'an import that hides a function',
      'package policy\nimport rego.v1\nimport data.x as concat\ndefault allow := false\n',
      ['reserved-name:3'],
    ],
  ])('%s', (_, text, expected) => {
    expect(refused(text)).toEqual(expected);
  });

  test('beside the managed part only import rego.v1 will do', () => {
    const text =
      'package policy\nimport future.keywords.if\nimport future.keywords.in\ndefault allow := false\n';
    expect(refused(text)).toEqual([]);
    expect(warned(text)).toEqual(['import-missing:1']);
    expect(refused(text, managed)).toEqual(['import-missing:1']);
  });
});

describe('an allow that is open to anybody is refused', () => {
  test.each(['default allow := true', 'default allow = true', 'default\n\tallow := true'])('%j', (rule) => {
    expect(refused(`package policy\nimport rego.v1\n${rule}\n`)).toEqual(['allow-always:3']);
  });

  test.each([
    'allow := true',
    'allow = true',
    'allow',
    'allow if true',
    'allow if { true }',
    'allow if 1 == 1',
    'allow if "a" in {"a"}',
    'allow if {\n\tx := 1\n\tx == 1\n}',
    'allow if not false',
    'allow if helper\nhelper := true',
    'allow if data.policy.helper\nhelper if other\nother := 1',
    'allow := helper\nhelper := true',
    'allow if count([1]) == 1',
    'allow if false else := true',
  ])('%j', (rule) => {
    expect(refused(`${head}${rule}\n`)).toEqual(['allow-always:7']);
  });
});

describe('an allow of rego before version 1 is refused', () => {
  test.each([
    'allow { input.x == data["resource-path"] }',
    'allow = true { input.x == data["resource-path"] }',
    'allow if { input.x == data["resource-path"] } { input.y }',
    'deny[x] { x := input.x }',
    'f(x) = y { y := x }',
    'x := {"a": 1} { input.y }',
    'x { input.y } else = 2 { input.z }',
  ])('%s', (rule) => {
    expect(refused(`${head}${rule}\n`)).toContain('rule-without-if:7');
  });
});

describe('an allow that reaches too far is refused', () => {
  const evidence = 'input.submods.cpu0["ear.veraison.annotated-evidence"]';
  test.each([
    ['measurement without path', `allow if ${evidence}.snp.measurement == "a"`, 'allow-any-path'],
    ['affirming', 'allow if input.submods.cpu0["ear.status"] == "affirming"', 'allow-any-path'],
    ['the plugin alone', 'allow if {\n\tdata.plugin == "resource"\n\tinput.x\n}', 'allow-any-path'],
    [
      'the kind of the path alone',
      'allow if {\n\tis_array(data["resource-path"])\n\tinput.x\n}',
      'allow-any-path',
    ],
    [
      'the path only denied',
      'allow if {\n\tnot data["resource-path"] == ["a", "b", "c"]\n\tinput.x\n}',
      'allow-any-path',
    ],
    ['a path that is only there', 'allow if {\n\tdata["resource-path"]\n\tinput.x\n}', 'allow-any-path'],
    ['a path given a name', 'allow if {\n\tpath := data["resource-path"]\n\tinput.x\n}', 'allow-any-path'],
    [
      'the shipped default of v0.14',
      `allow if not ${evidence.replace('cpu0', 'cpu')}["sample"]`,
      'allow-sample',
    ],
    [
      'the shipped default, newer',
      `allow if {\n\tplugin == "resource"\n\tnot ${evidence}["sample"]\n}\nplugin = data.plugin`,
      'allow-sample',
    ],
    ['not sample, by helper', `allow if not s\ns if ${evidence}.sample`, 'allow-sample'],
    ['not sample, by name', 'allow if input.tee != "sample"', 'allow-sample'],
    ['sample itself', `allow if ${evidence}.sample.svn == "1"`, 'allow-sample'],
    [
      'sample, bound',
      `allow if {\n\tdata["resource-path"] == ["a", "b", "c"]\n\t${evidence}.sample\n}`,
      'allow-sample',
    ],
  ])('%s', (_, rule, expected) => {
    expect(refused(`${head}${rule}\n`)).toContain(`${expected}:7`);
  });

  test('through an import of another name', () => {
    const text = `package policy\nimport rego.v1\nimport input.submods as s\ndefault allow := false\nallow if s.cpu0.x\n`;
    expect(refused(text)).toEqual(['allow-any-path:5']);
  });
});

describe('an allow of others that looks bound is warned about', () => {
  test.each([
    'allow if data.plugin == "pkcs11"',
    'allow if {\n\t"other" == data.plugin\n\tinput.x == 1\n}',
    'allow if {\n\tdata["resource-path"] == ["a", "b", "c"]\n\tinput.x == 1\n}',
    'allow if {\n\tinput.x in digests[concat("/", path)]\n}\npath := data["resource-path"] if is_array(data["resource-path"])\ndigests := {}',
    'allow if {\n\tinput.x == 1\n\tcvm_resource_path == ["a", "b", "c"]\n}',
  ])('%j', (rule) => {
    expect(refused(`${head}${rule}\n`, managed)).toEqual([]);
    expect(warned(`${head}${rule}\n`, managed)).toEqual(['allow-of-others:7']);
  });
});

describe('an allow that cannot be heard is refused', () => {
  const bound = 'data["resource-path"] == ["a", "b", "c"]\n\tinput.x == 1';
  test.each([
    ['two values', `allow if {\n\t${bound}\n}\nallow := false if input.y`, ['allow-conflict:11']],
    [
      'a computed value beside another rule',
      `allow if {\n\t${bound}\n}\nallow := data["resource-path"] == ["a", "b", "d"]`,
      ['allow-conflict:11'],
    ],
    ['a set', 'allow contains "x" if input.x', ['allow-not-boolean:7']],
    ['an object', 'allow[x] := 1 if x := input.x', ['allow-not-boolean:7']],
    ['a function', 'allow(x) := true', ['allow-not-boolean:7']],
    ['a text', 'allow := "yes"', ['allow-not-boolean:7']],
    ['two defaults', 'default allow := false', ['allow-conflict:7']],
  ])('%s', (_, rule, expected) => {
    expect(refused(`${head}${rule}\n`)).toEqual(expected);
  });

  test('none at all', () => {
    expect(refused('package policy\nimport rego.v1\nx := 1\n')).toEqual(['allow-undefined:1']);
  });

  test('one that denies beside the managed part', () => {
    const text = `${head}allow := false if input.x\n`;
    expect(refused(text)).toEqual([]);
    expect(refused(text, managed)).toEqual(['allow-conflict:7']);
  });
});

describe('what ends every request in an error is refused', () => {
  test.each([
    'http.send({"url": "x"})',
    'crypto.sha256("x")',
    'uuid.rfc4122("x")',
    'semver.compare("1.0.0", "1.0.0")',
    'glob.match("a", [], "a")',
    'opa.runtime()',
    'io.jwt.decode("x")',
    'net.cidr_contains("a", "b")',
    'unheard_of(1)',
  ])('%s', (call) => {
    expect(refused(`${head}x := ${call}\n`)).toEqual(['unknown-function:7']);
  });

  test.each([
    ['split', 'x if split(data["resource-path"], "/")[0] == "a"', 'path-unguarded:7'],
    ['split of a name', 'x if {\n\tp := data["resource-path"]\n\tstartswith(p, "a")\n}', 'path-unguarded:9'],
    ['split of a rule', 'p := data["resource-path"]\nx if startswith(p, "a")', 'path-unguarded:8'],
    ['concat', 'x if concat("/", data["resource-path"]) == "a"', 'path-unguarded:7'],
    [
      'split with the wrong guard',
      'x if {\n\tis_array(data["resource-path"])\n\tsplit(data["resource-path"], "/")[0] == "a"\n}',
      'path-unguarded:9',
    ],
    [
      'split with a denied guard',
      'x if {\n\tnot is_string(data["resource-path"])\n\tsplit(data["resource-path"], "/")[0] == "a"\n}',
      'path-unguarded:9',
    ],
    ['a text only', 'x if data["resource-path"] == "resource/a/b/c"', 'path-one-form:7'],
    ['texts only', 'x if data["resource-path"] in {"resource/a/b/c"}', 'path-one-form:7'],
  ])('the path: %s', (_, rule, expected) => {
    expect(refused(`${head}${rule}\n`)).toEqual([expected]);
  });

  test('but not where both forms of the path are handled', () => {
    const rules = [
      'x if data["resource-path"] == "resource/a/b/c"',
      'x if data["resource-path"] == ["a", "b", "c"]',
      'y := split(data["resource-path"], "/") if is_string(data["resource-path"])',
    ];
    expect(refused(`${head}${rules.join('\n')}\n`)).toEqual([]);
  });
});

describe('names of the managed part', () => {
  test.each([
    'cvm_measurements := {}',
    'default cvm_snp := {}',
    'split(a, b) := ["resource"]',
    'data := {}',
  ])('%s is refused', (rule) => {
    expect(refused(`${head}${rule}\n`)).toEqual(['reserved-name:7']);
  });
});

describe('what cannot be read is refused', () => {
  test.each([
    ['x := {', 7],
    ['x := 1)', 7],
    ['x := {1]', 7],
    ['x := "open', 7],
    ['x := `open', 7],
    ['x := 1 allow := true', 7],
    ['allow if { input.x } allow := true', 7],
    ['import rego.v1 allow', 7],
    ['allow {}', 7],
    ['x := 1; allow := true', 7],
    ['x := 1, allow := true', 7],
    ['x if input.y; allow := true', 7],
    ['allow if input.x == data["resource-path"]; true', 7],
    [': x', 7],
    ['x := $"a"', 7],
    ['x := "\u0001"', 7],
  ])('%j', (text, line) => {
    expect(refused(`${head}${text}\n`)).toContain(`syntax:${line}`);
  });

  test('a finding has its place, and what to do', () => {
    const [finding] = lintPolicy(`${head}\t allow := true\n`);
    expect(finding).toMatchObject({ line: 7, column: 3, severity: 'refuse', rule: 'allow-always' });
    expect(finding!.remedy).not.toBe('');
    expect(formatFinding('policy.rego', finding!)).toMatch(/^policy\.rego:7:3: refuse: /);
  });
});
