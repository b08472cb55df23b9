import { expect, test } from 'vitest';
import { asOldEngineReads } from '../../../../src/kbs/dev-kbs/judge/old-dialect.ts';

const head = 'package policy\ndefault allow = false\n';

test.each([
  ['a rule', 'allow if {\n\tfalse\n}\n', 'allow = true\nrule_named_if {\n\tfalse\n}\n'],
  ['a rule with a value', 'allow := true if { false }\n', 'allow := true\nrule_named_if { false }\n'],
  ['an indented rule', '  allow  if{ false }\n', '  allow = true\n  rule_named_if { false }\n'],
  [
    'several',
    'allow if { a }\nother if { b }\n',
    'allow = true\nrule_named_if { a }\nother = true\nrule_named_if { b }\n',
  ],
])('without an import, %s has no body', (_, text, read) => {
  expect(asOldEngineReads(head + text)).toBe(head + read);
});

test.each([
  'import rego.v1',
  'import future.keywords',
  'import future.keywords.if',
  '\timport rego.v1 # why\r',
])('with %j nothing is read otherwise', (line) => {
  const text = `package policy\n${line}\ndefault allow = false\nallow if { false }\n`;
  expect(asOldEngineReads(text)).toBe(text);
});

test.each([
  'allow { true }\n',
  'allow = true { true }\n',
  '# allow if { true }\n',
  'x = "\\nallow if { true }"\n',
  'x = `\nallow if { true }\n`\n',
])('what is no such rule stays: %j', (text) => {
  expect(asOldEngineReads(head + text)).toBe(head + text);
});

test.each([
  '# import rego.v1\n',
  'x = "import rego.v1"\n',
  'x = `\nimport rego.v1\n`\n',
  'import rego.v10\n',
])('what only looks like the import is none: %j', (text) => {
  expect(asOldEngineReads(`${head}${text}allow if { false }\n`)).toContain('allow = true\nrule_named_if');
});
