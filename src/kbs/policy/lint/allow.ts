import { closureOf } from '../rego/closure.ts';
import type { Branch, Rule } from '../rego/statements.ts';
import { bindsPath } from './binding.ts';
import { type Remark, refusal, type Subject, warning } from './finding.ts';

const isWord = (tokens: Branch['value'], word: string) => tokens.length === 1 && tokens[0]!.text === word;
const isTrue = ({ value }: Branch) => value.length === 0 || isWord(value, 'true');

/** The rule that a key broker asks: whether it is there, is a boolean, and releases nothing to anybody. */
export function checkAllow(subject: Subject): Remark[] {
  const { rules, besideManaged, isManaged } = subject;
  const allow = rules.filter(({ name }) => name === 'allow');
  const defaults = allow.filter(({ isDefault }) => isDefault);
  const others = allow.filter(({ isDefault }) => !isDefault);
  const remarks = [...defaults.flatMap(checkDefault), ...checkRepeats(defaults)];
  if (defaults.length === 0) remarks.push(...missingDefault(subject, allow.length));
  remarks.push(...checkConflicts(others, others.length + (besideManaged ? 1 : 0)));
  for (const rule of others) {
    if (rule.shape !== 'complete') {
      const message =
        'this makes allow a function, a set or an object, not true or false: everything is denied';
      remarks.push(refusal('allow-not-boolean', rule.start, message, 'write "allow if { … }"'));
      continue;
    }
    const releases = rule.branches.filter((branch) => !isWord(branch.value, 'false'));
    const found = releases.flatMap((branch) => checkBranch(rule, branch, subject));
    remarks.push(...found.filter(({ message }, index) => found[index - 1]?.message !== message));
    if (releases.length > 0 && found.length === 0 && !isManaged(rule.start)) {
      const message = 'a further "allow" rule: it looks bound, but only its author knows what it releases';
      const remedy = 'make sure that it releases no disk key to another VM';
      remarks.push(warning('allow-of-others', rule.start, message, remedy));
    }
  }
  return remarks;
}

function missingDefault({ packages, besideManaged }: Subject, rules: number): Remark[] {
  const at = packages[0]?.start ?? 0;
  const remedy = 'add "default allow := false"';
  if (rules === 0 && !besideManaged) {
    return [refusal('allow-undefined', at, 'it defines no rule "allow": every request is an error', remedy)];
  }
  const message =
    'it has no default for "allow": older key brokers report a refusal as an error of the policy';
  return [warning('allow-no-default', at, message, remedy)];
}

function checkDefault(rule: Rule): Remark[] {
  const [branch] = rule.branches;
  if (branch === undefined || isWord(branch.value, 'false')) return [];
  if (isTrue(branch)) {
    const message = 'it allows everything by default: every key is released to anybody';
    return [refusal('allow-always', rule.start, message, 'write "default allow := false"')];
  }
  const message = 'the default of "allow" is neither true nor false';
  return [refusal('allow-not-boolean', rule.start, message, 'write "default allow := false"')];
}

function checkRepeats([, second]: readonly Rule[]): Remark[] {
  if (second === undefined) return [];
  const message = 'it has a second default for "allow": it does not load';
  return [refusal('allow-conflict', second.start, message, 'keep one of them')];
}

/** Where two rules for `allow` hold and differ, the engine reports an error, and the request is denied. */
function checkConflicts(rules: readonly Rule[], total: number): Remark[] {
  if (total < 2) return [];
  return rules
    .filter(({ shape, branches }) => shape === 'complete' && !branches.every(isTrue))
    .map(({ start }) => {
      const message =
        'this rule may give "allow" another value than true while others give true: an error, not a denial';
      return refusal(
        'allow-conflict',
        start,
        message,
        'put the conditions of a denial into the rules that allow',
      );
    });
}

function checkBranch(rule: Rule, branch: Branch, subject: Subject): Remark[] {
  const [only] = branch.body;
  if (branch.body.length === 1 && isWord(only!, 'false')) return [];
  const literal = branch.value.length === 1 && branch.value[0]!.kind !== 'name';
  if (literal) {
    const message = '"allow" is neither true nor false here: everything is denied';
    return [refusal('allow-not-boolean', rule.start, message, 'write "allow if { … }"')];
  }
  return checkReach(rule, branch, subject);
}

/** What releases keys to VMs that are not theirs, worst first; one remark is enough. */
function checkReach(rule: Rule, branch: Branch, subject: Subject): Remark[] {
  const closure = closureOf(branch, subject);
  const asks = (root: string) => closure.dependences.some(([first]) => first === root);
  if (!asks('input') && !asks('data')) {
    const message = 'this "allow" does not depend on the request: it releases every key to anybody';
    return [refusal('allow-always', rule.start, message, 'remove it, or ask for what the VM proved')];
  }
  const sample = closure.tokens.find(({ kind, value }) => kind !== 'mark' && /sample/i.test(value));
  if (sample !== undefined) {
    const denied = closure.tokens.some(({ text }) => text === 'not' || text === '!=');
    const message = denied
      ? 'this "allow" asks for evidence that is not "sample": every SNP machine in the world has that'
      : 'this "allow" is about "sample" evidence, which anybody can make without a TEE';
    const remedy = 'ask for the launch digest on its own resource path instead';
    return [refusal('allow-sample', rule.start, message, remedy)];
  }
  const replaced = closure.tokens.find(({ kind, text }) => kind === 'name' && text === 'with');
  if (replaced !== undefined) {
    const message = 'this "allow" asks about another request than the one that was made, by "with"';
    return [refusal('allow-any-path', rule.start, message, 'ask without "with"')];
  }
  if (!bindsPath(branch, subject)) {
    const asksPath = closure.dependences.some(
      ([root, part]) => root === 'data' && (part === undefined || part === 'resource-path'),
    );
    const message = asksPath
      ? 'this "allow" is not bound by data["resource-path"]: who passes it may read keys of any path'
      : 'this "allow" never looks at data["resource-path"]: who passes it may read every key';
    const remedy =
      'compare the path with what is written in the policy, by ==, in, startswith or as the key of an object; cvm policy adopt does so with the entries of an older builder';
    return [refusal('allow-any-path', rule.start, message, remedy)];
  }
  if (!asks('input')) {
    const message = 'a further "allow" rule that asks for no evidence: what it names is released to anybody';
    return [warning('allow-of-others', rule.start, message, 'make sure that no disk key lies there')];
  }
  return [];
}
