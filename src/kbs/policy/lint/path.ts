import { callAround, referencesIn } from '../rego/references.ts';
import type { Branch, Expression, Rule } from '../rego/statements.ts';
import type { Token } from '../rego/tokens.ts';
import { type Remark, refusal, type Subject } from './finding.ts';

/** Functions that end in an error, and so deny everything, where they are given the other form of the path. */
const ofText =
  /^(?:split|startswith|endswith|contains|lower|upper|replace|substring|indexof|indexof_n|trim(?:_\w+)?|regex\.\w+|strings\.\w+)$/;
const ofList = /^(?:concat|array\.\w+)$/;

type Form = 'text' | 'list';

const asks = { text: 'is_string', list: 'is_array' } as const;
const era = {
  text: 'key brokers from v0.17 on pass a list there',
  list: 'key brokers up to v0.16 pass a text there',
} as const;

/** A place where a rule takes `data["resource-path"]` for one of its two forms. */
interface Use {
  form: Form;
  at: number;
  /** By a function that fails on the other form. */
  fails: string | undefined;
  guarded: boolean;
}

/**
 * `data["resource-path"]` is a text up to v0.16, `resource/repository/type/tag`, and a list from v0.17 on. A rule
 * that takes it for one of them must ask which it is, and the policy must have a rule for the other.
 */
export function checkPath({ rules }: Subject): Remark[] {
  const names = new Set(['data.resource-path', ...rules.filter(isAlias).map(({ name }) => name)]);
  const uses = rules.flatMap(({ branches }) => branches.flatMap((branch) => usesIn(branch, names)));
  const remarks = uses
    .filter(({ fails, guarded }) => fails !== undefined && !guarded)
    .map(({ form, at, fails }) => {
      const message = `${fails} of data["resource-path"]: ${era[form]}, so every request ends in an error`;
      return refusal('path-unguarded', at, message, `ask ${asks[form]}(data["resource-path"]) first`);
    });
  if (uses.some(({ form }) => form === 'list')) return remarks;
  const texts = uses.filter(({ fails, guarded }) => fails === undefined || guarded);
  return [
    ...remarks,
    ...texts.map(({ at }) => {
      const message = `data["resource-path"] is taken for a text only: ${era.text}, and the rule never holds`;
      const remedy =
        'compare a list of three parts as well: data["resource-path"] == ["<repository>", "<type>", "<tag>"]';
      return refusal('path-one-form', at, message, remedy);
    }),
  ];
}

/** `path := data["resource-path"]`, whatever form it has. */
function isAlias({ branches, shape }: Rule): boolean {
  const [only] = branches;
  return shape === 'complete' && branches.length === 1 && only!.body.length === 0 && isPathAlone(only!.value);
}

function isPathAlone(tokens: readonly Token[]): boolean {
  const [reference] = referencesIn(tokens);
  return (
    reference?.path.join('.') === 'data.resource-path' &&
    reference.first === 0 &&
    reference.end === tokens.length
  );
}

function usesIn({ value, body }: Branch, everywhere: ReadonlySet<string>): Use[] {
  const names = new Set([...everywhere, ...body.flatMap(localAlias)]);
  const asked = new Set<Form>();
  const uses: Use[] = [];
  const use = (tokens: readonly Token[]) => {
    for (const reference of referencesIn(tokens)) {
      if (!names.has(reference.path.join('.'))) continue;
      const around = callAround(tokens, reference.first);
      const at = tokens[reference.first]!.start;
      if (around === asks.text || around === asks.list) {
        const form = around === asks.text ? 'text' : 'list';
        if (tokens[0]!.text !== 'not') asked.add(form);
        if (form === 'list') uses.push({ form, at, fails: undefined, guarded: true });
      } else {
        const form = formOf(around, tokens, reference.first, reference.end, reference.indexed);
        if (form === undefined) continue;
        const fails =
          around !== undefined && (ofText.test(around) || ofList.test(around)) ? around : undefined;
        uses.push({ form, at, fails, guarded: asked.has(form) });
      }
    }
  };
  for (const expression of body) use(expression);
  use(value);
  return uses;
}

/** `path := data["resource-path"]` inside of a body. */
function localAlias(expression: Expression): string[] {
  const [name, assign, ...rest] = expression;
  const assigns = assign?.kind === 'mark' && (assign.text === ':=' || assign.text === '=');
  return name?.kind === 'name' && assigns && isPathAlone(rest) ? [name.text] : [];
}

/** Which form the path is taken for, as far as its neighbours tell. */
function formOf(
  around: string | undefined,
  tokens: readonly Token[],
  first: number,
  end: number,
  indexed: boolean,
): Form | undefined {
  if (around !== undefined && ofText.test(around)) return 'text';
  if (around !== undefined && ofList.test(around)) return 'list';
  if (indexed) return 'list';
  const compares = (token: Token | undefined) =>
    token !== undefined && ['==', '=', '!='].includes(token.text);
  const literal = compares(tokens[end])
    ? tokens[end + 1]
    : compares(tokens[first - 1])
      ? tokens[first - 2]
      : undefined;
  if (literal?.kind === 'string') return 'text';
  if (literal?.text === '[' || literal?.text === ']') return 'list';
  if (tokens[end]?.text === 'in' && /^[[{]$/.test(tokens[end + 1]?.text ?? '')) {
    return tokens[end + 2]?.kind === 'string' ? 'text' : 'list';
  }
  return undefined;
}
