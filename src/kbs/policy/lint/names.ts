import { referencesIn } from '../rego/references.ts';
import type { Rule } from '../rego/statements.ts';
import { type Remark, refusal, type Subject } from './finding.ts';

/**
 * What a key broker's engine has: regorus 0.2.8 with the features regex, base64 and time (reference: its
 * src/builtins). A call of anything else is an error on each request, and so denies everything.
 */
const functions = new Set(
  `abs array.concat array.reverse array.slice base64.decode base64.encode base64.is_valid bits.and bits.lsh
  bits.negate bits.or bits.rsh bits.xor ceil concat contains count endswith floor format_int indexof indexof_n
  intersection is_array is_boolean is_null is_number is_object is_set is_string json.filter json.is_valid
  json.marshal json.marshal_with_options json.remove json.unmarshal lower max min numbers.range
  numbers.range_step object.filter object.get object.keys object.remove object.subset object.union
  object.union_n print product rand.intn regex.find_n regex.globs_match regex.is_valid regex.match regex.replace
  regex.split regex.template_match replace round sort split sprintf startswith strings.any_prefix_match
  strings.any_suffix_match strings.count strings.replace_n strings.reverse substring sum time.add_date
  time.clock time.date time.diff time.format time.now_ns time.parse_duration_ns time.parse_ns
  time.parse_rfc3339_ns time.weekday to_number trace trim trim_left trim_prefix trim_right trim_space trim_suffix
  type_name union units.parse units.parse_bytes upper walk`.split(/\s+/),
);

/** Calls of functions that the text does not define and that some key broker's engine lacks. */
export function checkFunctions({ rules, known }: Subject): Remark[] {
  const remarks: Remark[] = [];
  for (const rule of rules) {
    for (const tokens of [rule.head, ...rule.branches.flatMap(({ value, body }) => [value, ...body])]) {
      for (const { path, first, called } of referencesIn(tokens)) {
        const name = path.join('.');
        const own = path[0] === 'data' && path[1] === 'policy' ? path[2]! : path[0]!;
        if (!called || functions.has(name) || known.has(own)) continue;
        const message = `key brokers have no function ${name}: every request ends in an error`;
        const remedy = 'their engine (regorus) has regex, base64, time and the plain string functions only';
        remarks.push(refusal('unknown-function', tokens[first]!.start, message, remedy));
      }
    }
  }
  return remarks;
}

/** Names that the managed part needs to mean what they mean everywhere. */
export const managedNeeds: ReadonlySet<string> = new Set(
  'array concat count input data is_array is_number is_string split'.split(' '),
);

/** Rules that take a name of the managed part, or of what it calls. */
export function checkNames({ rules, isManaged }: Subject): Remark[] {
  const taken = ({ name, start }: Rule) =>
    managedNeeds.has(name) || (name.startsWith('cvm_') && !isManaged(start));
  return rules.filter(taken).map(({ name, start }) => {
    const whose = name.startsWith('cvm_') ? 'of the managed part' : 'that the managed part relies on';
    return refusal('reserved-name', start, `it defines ${name}, a name ${whose}`, 'choose another name');
  });
}
