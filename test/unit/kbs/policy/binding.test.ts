import { describe, expect, test } from 'vitest';
import { readTemplate } from '../../../../src/host/template.ts';
import { lintPolicy } from '../../../../src/kbs/policy/lint.ts';
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

describe('an allow that any path may pass is refused', () => {
  const path = 'data["resource-path"]';
  const list = '["a", "b", "c"]';
  test.each([
    // Looking at the path is not asking for one.
    ['it is printed', `allow if {\n\tprint(${path})\n\tinput.x\n}`],
    ['it is turned into JSON', `allow if {\n\tjson.marshal(${path})\n\tinput.x\n}`],
    ['it is compared with itself', `allow if {\n\t${path} == ${path}\n\tinput.x\n}`],
    ['it is compared with a claim', `allow if ${path} == input.path`],
    ['it is looked up in a claim', `allow if input.digests[concat("/", ${path})] == input.x`],
    ['it is ordered', `allow if {\n\t${path} > "a"\n\tinput.x\n}`],
    ['it is unlike something', `allow if {\n\t${path} != ${list}\n\tinput.x\n}`],
    ['some part is anything', `allow if {\n\t${path}[_]\n\tinput.x\n}`],
    ['any part is something', `allow if {\n\tsome i\n\t${path}[i] == "a"\n\tinput.x\n}`],
    ['its parts are walked', `allow if {\n\tsome x in ${path}\n\tx == "a"\n\tinput.x\n}`],
    ['every part is asked', `allow if {\n\tevery p in ${path} { p in {"a"} }\n\tinput.x\n}`],
    ['its count is asked', `allow if {\n\tx := ${path}\n\tcount(x) > 0\n\tinput.x\n}`],
    [
      'its count is asked elsewhere',
      `allow if {\n\tp\n\tinput.x\n}\np if {\n\tx := ${path}\n\tcount(x) > 0\n}`,
    ],
    ['a name of it alone', `allow if {\n\tp\n\tinput.x\n}\np := ${path}`],
    ['it is in itself', `allow if {\n\t${path} in {${path}}\n\tinput.x\n}`],
    ['a set of it', `allow if {\n\t{p | p := ${path}}\n\tinput.x\n}`],
    ['a set of matches', `allow if {\n\t{p | p := ${path}; p == ${list}}\n\tinput.x\n}`],
    ['a count of matches', `allow if {\n\tcount([1 | ${path} == ${list}]) >= 0\n\tinput.x\n}`],
    ['a set that is always there', `allow if {\n\tmine\n\tinput.x\n}\nmine contains p if p := ${path}`],
    ['its answer is not asked for', `allow if {\n\tx := ${path} == ${list}\n\tinput.x\n}`],
    ['its answer is printed', `allow if {\n\tprint(${path} == ${list})\n\tinput.x\n}`],
    ['its answer may be false', `allow if {\n\t(${path} == ${list}) == false\n\tinput.x\n}`],
    ['membership is no condition', `allow if {\n\tx := t[${path}] in [1]\n\tinput.x\n}\nt := {"a": 1}`],
    ['a lookup with a default', `allow if input.x == object.get({"a": 1}, concat("/", ${path}), 2)`],
    // What is true of every path.
    ['the empty prefix', `allow if {\n\tis_string(${path})\n\tstartswith(${path}, "")\n\tinput.x\n}`],
    [
      'the prefix of all',
      `allow if {\n\tis_string(${path})\n\tstartswith(${path}, "resource/")\n\tinput.x\n}`,
    ],
    ['the first part of all', `allow if {\n\tsplit(${path}, "/")[0] == "resource"\n\tinput.x\n}`],
    ['no part of it', `allow if {\n\tarray.slice(${path}, 0, 0) == []\n\tinput.x\n}`],
    [
      'no part of it, as a text',
      `allow if {\n\tconcat("/", array.slice(${path}, 0, 0)) in {"a", ""}\n\tinput.x\n}`,
    ],
    ['one of two', `allow if {\n\tconcat(${path}[0], ["a"]) == "a"\n\tinput.x\n}`],
    // The same through other rules.
    [
      'a default of true',
      `allow if {\n\tmine\n\tinput.x\n}\ndefault mine := true\nmine if ${path} == ${list}`,
    ],
    [
      'a default that is a text',
      `allow if {\n\tmine\n\tinput.x\n}\ndefault mine := "no"\nmine if ${path} == ${list}`,
    ],
    [
      'a default of a lookup',
      `allow if input.x in mine\ndefault mine := {"a"}\nmine := {"k": {"b"}}[concat("/", ${path})]`,
    ],
    [
      'a default path',
      `allow if {\n\tp == ${list}\n\tinput.x\n}\ndefault p := ${list}\np := ${path} if input.y`,
    ],
    [
      'another rule of the same name',
      `allow if {\n\tmine\n\tinput.x\n}\nmine if ${path} == ${list}\nmine if input.y`,
    ],
    ['an else of its own', `allow if {\n\t${path} == ${list}\n\tinput.x\n} else if input.y`],
    [
      'an else of a rule',
      `allow if {\n\tmine\n\tinput.x\n}\nmine if ${path} == ${list} else := 2 if input.y`,
    ],
    ['a rule that is denied', `allow if {\n\tnot mine\n\tinput.x\n}\nmine if ${path} == ${list}`],
    [
      'a rule denied twice',
      `allow if {\n\tnot other\n\tinput.x\n}\nother if not mine\nmine if ${path} == ${list}`,
    ],
    ['a rule that is false', `allow if {\n\tmine == false\n\tinput.x\n}\nmine := ${path} == ${list}`],
    [
      'a function of something else',
      `allow if {\n\tf(input.y)\n\tinput.x\n\t${path}\n}\nf(p) if p == ${list}`,
    ],
    ['a function that ignores it', `allow if {\n\tf(${path})\n\tinput.x\n}\nf(p) if input.y`],
    [
      'a function with a default',
      `allow if {\n\tf(${path}) != 3\n\tinput.x\n}\ndefault f(_) := 1\nf(p) := 2 if p == ${list}`,
    ],
    [
      'a function of its own called startswith',
      `allow if {\n\tstartswith(${path}, "a")\n\tinput.x\n}\nstartswith(a, b) := true`,
    ],
    ['a rule that names itself', `allow if {\n\tmine\n\tinput.x\n}\nmine if mine`],
    [
      'a constant that is none',
      `allow if {\n\tpaths[concat("/", ${path})]\n\tinput.x\n}\npaths contains p if p := input.path`,
    ],
    [
      'a local name over a constant',
      `allow if {\n\tsome t\n\tt = input.digests\n\tt[concat("/", ${path})]\n}\nt := {"a": 1}`,
    ],
    // Another plugin.
    ['not another plugin', 'allow if {\n\tnot data.plugin == "other"\n\tinput.x\n}'],
    ['a plugin unlike another', 'allow if {\n\tdata.plugin != "other"\n\tinput.x\n}'],
    ['another plugin or this one', 'allow if {\n\tdata.plugin in {"other", "resource"}\n\tinput.x\n}'],
    // The request replaced.
    ['with', `allow if {\n\tinput.x\n\t${path} == ${list} with ${path} as ${list}\n}`],
    [
      'with, of a rule',
      `allow if {\n\tinput.x\n\tmine with ${path} as ${list}\n}\nmine if ${path} == ${list}`,
    ],
    [
      'with, in a rule',
      `allow if {\n\tinput.x\n\tmine\n\t${path} == ${list}\n}\nmine if input.y with data as {}`,
    ],
  ])('%s', (_, rule) => {
    expect(refused(`${head}${rule}\n`)).toContain('allow-any-path:7');
    expect(refused(`${head}${rule}\n`, managed)).toContain('allow-any-path:7');
  });
});

describe('an allow that is bound in a way of its own is not refused', () => {
  const path = 'data["resource-path"]';
  const list = '["a", "b", "c"]';
  const rp = `rp := ${path} if is_array(${path})\n\nrp := array.slice(parts, 1, 4) if {\n\tis_string(${path})\n\tparts := split(${path}, "/")\n\tcount(parts) == 4\n\tparts[0] == "resource"\n}`;
  const table = 'table := {"a/b/c": {"x", "y"}, "a/b/d": {"z"}}';
  test.each([
    ['equality on the list', `allow if {\n\t${path} == ${list}\n\tinput.x\n}`],
    ['the other way round', `allow if {\n\t${list} = ${path}\n\tinput.x\n}`],
    [
      'equality on either form',
      `allow if {\n\tmine\n\tinput.x\n}\nmine if ${path} == ${list}\nmine if ${path} == "resource/a/b/c"`,
    ],
    ['a set of paths', `allow if {\n\t${path} in {${list}, ["a", "b", "d"]}\n\tinput.x\n}`],
    [
      'a named set of paths',
      `allow if {\n\tconcat("/", rp) in paths\n\tinput.x\n}\npaths := {"a/b/c"}\n${rp}`,
    ],
    [
      'a set of rules',
      `allow if {\n\tconcat("/", rp) in paths\n\tinput.x\n}\npaths contains "a/b/c"\npaths contains "a/b/d" if input.y\n${rp}`,
    ],
    [
      'a set asked in brackets',
      `allow if {\n\tpaths[concat("/", rp)]\n\tinput.x\n}\npaths := {"a/b/c"}\n${rp}`,
    ],
    ['a table', `allow if input.x in table[concat("/", rp)]\n${table}\n${rp}`],
    [
      'a table and a local name',
      `allow if {\n\tdigests := table[concat("/", rp)]\n\tinput.x in digests\n}\n${table}\n${rp}`,
    ],
    ['a table and a rule', `allow if input.x in digests\ndigests := table[concat("/", rp)]\n${table}\n${rp}`],
    [
      'a table of rules',
      `allow if input.x in table[concat("/", rp)]\ntable["a/b/c"] := {"x"}\ntable["a/b/d"] := {"y"}\n${rp}`,
    ],
    [
      'a table of tables',
      `allow if input.x in table[rp[0]][rp[1]][rp[2]]\ntable := {"a": {"b": {"c": ["x"]}}}\n${rp}`,
    ],
    [
      'a table that is walked',
      `allow if {\n\tsome p, digests in table\n\tp == concat("/", rp)\n\tinput.x in digests\n}\n${table}\n${rp}`,
    ],
    [
      'a list that is walked',
      `allow if {\n\tsome each in sites\n\teach.path == rp\n\tinput.x == each.digest\n}\nsites := [{"path": ${list}, "digest": "x"}]\n${rp}`,
    ],
    [
      'a list with an index',
      `allow if {\n\tsites[i].path == rp\n\tinput.x == sites[i].digest\n}\nsites := [{"path": ${list}, "digest": "x"}]\n${rp}`,
    ],
    ['a table with a default', `allow if input.x in object.get(table, concat("/", rp), [])\n${table}\n${rp}`],
    [
      'some of a table',
      `allow if {\n\tsome digest in table[concat("/", rp)]\n\tinput.x == digest\n}\n${table}\n${rp}`,
    ],
    ['a prefix', `allow if {\n\tstartswith(concat("/", rp), "a/b/")\n\tinput.x\n}\n${rp}`],
    ['a part', `allow if {\n\tis_array(${path})\n\t${path}[2] == "c"\n\tinput.x\n}`],
    [
      'a part of the text',
      `allow if {\n\tis_string(${path})\n\tsplit(${path}, "/")[3] == "c"\n\t${path} != ["a"]\n\tis_array(input.x)\n}\nother if ${path} == ${list}`,
    ],
    [
      'parts by name',
      `allow if {\n\t[repository, _, tag] := rp\n\trepository == "a"\n\ttag in {"c", "d"}\n\tinput.x\n}\n${rp}`,
    ],
    ['a function', `allow if {\n\tis_mine(rp)\n\tinput.x\n}\nis_mine(p) if p == ${list}\n${rp}`],
    [
      'a function with a value',
      `allow if input.x in digests_of(concat("/", rp))\ndigests_of(p) := table[p]\n${table}\n${rp}`,
    ],
    [
      'a function of the path',
      `allow if {\n\tas_text(rp) == "a/b/c"\n\tinput.x\n}\nas_text(p) := concat("/", p)\n${rp}`,
    ],
    [
      'a rule that is compared with true',
      `allow if {\n\tmine == true\n\tinput.x\n}\ndefault mine := false\nmine if rp == ${list}\n${rp}`,
    ],
    ['a rule of its value', `allow if {\n\tmine\n\tinput.x\n}\nmine := rp == ${list}\n${rp}`],
    [
      'a rule by way of another, and of data',
      `allow if {\n\tdata.policy.mine\n\tinput.x\n}\nmine if other\nother if rp == ${list} else := false\n${rp}`,
    ],
    ['an import', `allow if {\n\tp == ${list}\n\tinput.x\n}\np := object.get(data, "resource-path", "")`],
    ['its answer by a name', `allow if {\n\tmine := rp == ${list}\n\tmine\n\tinput.x\n}\n${rp}`],
    [
      'a constant made of parts',
      `allow if {\n\tconcat("/", rp) == concat("/", ["a", kind, "c"])\n\tinput.x\n}\nkind := "b"\n${rp}`,
    ],
    ['other plugins', 'allow if {\n\tdata.plugin in {"pkcs11", "nebula-ca"}\n\tinput.x\n}'],
    ['another plugin by a rule', 'allow if {\n\tmine\n\tinput.x\n}\nmine if data.plugin == "pkcs11"'],
  ])('%s', (_, rule) => {
    expect(refused(`${head}${rule}\n`, managed)).toEqual([]);
    expect(warned(`${head}${rule}\n`, managed)).toEqual(['allow-of-others:7']);
  });

  test('the policy for either kind of key broker', () => {
    const text = `${head}${rp}\n\nis_resource if data.plugin == "resource"\n\nis_resource if is_string(${path})\n\n${table}\n\nsnp := input.submods.cpu0["ear.veraison.annotated-evidence"].snp\n\nallow if {\n\tis_resource\n\tsnp.measurement in table[concat("/", rp)]\n\tsnp.policy_debug_allowed == false\n}\n`;
    expect(refused(text)).toEqual([]);
  });
});
