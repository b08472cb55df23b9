import { type Remark, refusal, type Subject, warning } from './finding.ts';
import { managedNeeds } from './names.ts';

/** Exactly one `package policy`, at the top: another package's rules are never asked. */
export function checkPackage({ packages, module }: Subject): Remark[] {
  const remedy = 'begin the file with "package policy"';
  const [first, second] = packages;
  if (first === undefined) return [refusal('package', 0, 'it has no "package policy"', remedy)];
  const remarks: Remark[] = [];
  if (first.path !== 'policy') {
    const message = `it is of package ${first.path}, not policy: no key broker asks it`;
    remarks.push(refusal('package', first.start, message, remedy));
  }
  if (second !== undefined) {
    const message = `it names a second package, ${second.path}: it does not load`;
    remarks.push(refusal('package', second.start, message, 'keep "package policy" alone'));
  }
  if (module.statements[0] !== first) {
    remarks.push(
      refusal('package', first.start, 'the package does not come first: it does not load', remedy),
    );
  }
  return remarks;
}

const everyKeyword = ['if', 'in', 'every', 'contains'] as const;
type Keyword = (typeof everyKeyword)[number];

function keywordsOf(path: string): readonly Keyword[] {
  if (path === 'rego.v1' || path === 'future.keywords') return everyKeyword;
  if (path === 'future.keywords.every') return ['every', 'in'];
  return everyKeyword.filter((word) => path === `future.keywords.${word}`);
}

const wantsImport = 'write "import rego.v1" below the package';

/**
 * Keywords need their import. Without it, engines before regorus 0.5 take `allow if {…}` for two rules: `allow`,
 * always true, and one named `if`; other keywords are parse errors there.
 */
export function checkImports(subject: Subject): Remark[] {
  const { imports, rules, besideManaged } = subject;
  const remarks: Remark[] = checkTwice(subject);
  const firstRule = Math.min(...rules.map(({ start }) => start));
  for (const { path, alias, start } of imports) {
    const ours = /^(?:rego|future)\b/.test(path);
    if (start > firstRule) {
      const message = `"import ${path}" stands behind a rule: older key brokers refuse the policy`;
      remarks.push(refusal('import', start, message, 'move it above the first rule'));
    }
    if (ours && keywordsOf(path).length === 0) {
      remarks.push(refusal('import', start, `there is nothing to import as ${path}`, wantsImport));
    }
    if (ours && alias !== undefined) {
      const message = `"import ${path}" is given another name: key brokers refuse the policy`;
      remarks.push(refusal('import', start, message, 'leave "as" away'));
    }
    const name = alias ?? path.split('.').at(-1)!;
    if (!ours && name !== path && (managedNeeds.has(name) || name.startsWith('cvm_'))) {
      const message = `the import hides ${name}, which the managed part asks for`;
      remarks.push(refusal('reserved-name', start, message, 'give it another name with "as"'));
    }
  }
  const imported = new Set(imports.flatMap(({ path }) => keywordsOf(path)));
  const hasVersion1 = imports.some(({ path }) => path === 'rego.v1');
  for (const [word, at] of firstUses(subject)) {
    if (imported.has(word)) continue;
    const message =
      word === 'if'
        ? 'it lacks "import rego.v1": key brokers up to v0.16 take a rule with "if" as always true'
        : `it lacks "import rego.v1": key brokers up to v0.16 cannot read "${word}"`;
    remarks.push(refusal('import-missing', at, message, wantsImport));
  }
  if (hasVersion1 || remarks.some(({ rule }) => rule === 'import-missing')) return remarks;
  const at = subject.packages[0]?.end ?? 0;
  if (besideManaged) {
    const message = 'it lacks "import rego.v1", without which older key brokers allow everything';
    remarks.push(refusal('import-missing', at, message, wantsImport));
  } else {
    const message = 'it lacks "import rego.v1": a rule with "if" that is added later would open every key';
    remarks.push(warning('import-missing', at, message, wantsImport));
  }
  return remarks;
}

/** A keyword that two imports bring is an error of regorus, though not of Open Policy Agent. */
function checkTwice({ imports }: Subject): Remark[] {
  const named = (path: string): readonly Keyword[] =>
    path === 'future.keywords.every' ? ['every'] : keywordsOf(path);
  return imports.flatMap(({ path, start }, index) => {
    const earlier = imports.slice(0, index).flatMap((other) => named(other.path));
    if (!named(path).some((word) => earlier.includes(word))) return [];
    const message = `"import ${path}" brings a keyword that is imported already: key brokers refuse the policy`;
    return [refusal('import', start, message, 'keep "import rego.v1" alone')];
  });
}

/** Where each keyword is used first. */
function firstUses({ rules }: Subject): Map<Keyword, number> {
  const uses = new Map<Keyword, number>();
  const use = (word: Keyword, at: number) => uses.set(word, Math.min(at, uses.get(word) ?? at));
  for (const rule of rules) {
    if (rule.containsAt !== undefined) use('contains', rule.containsAt);
    for (const { hasIf, value, body } of rule.branches) {
      if (hasIf) use('if', rule.start);
      for (const token of [rule.head, value, ...body].flat()) {
        if (token.kind === 'name' && (token.text === 'in' || token.text === 'every'))
          use(token.text, token.start);
      }
    }
  }
  return uses;
}

/** Bodies without `if` are refused by every engine once `import rego.v1` is there, and by newer ones always. */
export function checkBodies({ rules }: Subject): Remark[] {
  return rules
    .filter(({ branches }) => branches.some(({ withoutIf }) => withoutIf))
    .map(({ name, start }) => {
      const message = `the body of ${name} is not introduced by "if": key brokers from v0.17 on refuse the policy`;
      const remedy = name === 'allow' ? 'cvm policy adopt takes the entries of an older builder over' : '';
      const write = `write "${name} if {"`;
      return refusal('rule-without-if', start, message, remedy === '' ? write : `${write}; ${remedy}`);
    });
}
