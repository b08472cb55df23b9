/** Strings and comments of Rego: `"…"`, raw strings in backquotes, `#` to the end of the line. */
const stringOrComment = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*/g;

/** The text with every character of strings and comments blanked: same length, so positions stay. */
function codeOnly(text: string): string {
  return text.replaceAll(stringOrComment, (match) => match.replaceAll(/[^\n]/g, ' '));
}

/** A rule's head and the `if` before its body: `allow if {`, `allow := true if {`. */
const headWithIf = /^([ \t]*)([A-Za-z_]\w*)((?:[ \t]*:?=[ \t]*[^\n{}]+?)?)[ \t]+if\s*\{/gm;

/**
 * Rewrites a policy as the policy engine of the field's release (regorus 0.2.8) reads it. Without `import rego.v1`
 * (or the keyword `if` imported by itself) that engine takes `allow if {…}` for two rules: `allow`, which has no
 * body and so is always true, and a rule named `if`. Open Policy Agent refuses such a text in any mode, so the two
 * rules are written out for it; what else it refuses then, the old engine refuses too, or its reading is not known.
 * @returns the text unchanged where `if` is a keyword in it.
 */
export function asOldEngineReads(text: string): string {
  const code = codeOnly(text);
  if (/^[ \t]*import[ \t]+(?:rego\.v1|future\.keywords(?:\.if)?)[ \t]*;?[ \t]*\r?$/m.test(code)) return text;
  let read = '';
  let done = 0;
  for (const match of code.matchAll(headWithIf)) {
    const [whole, indent, name, value] = match as unknown as [string, string, string, string];
    const valueAt = match.index + indent.length + name.length;
    const ownValue = text.slice(valueAt, valueAt + value.length);
    read += `${text.slice(done, match.index)}${indent}${name}${value === '' ? ' = true' : ownValue}\n`;
    read += `${indent}rule_named_if {`;
    done = match.index + whole.length;
  }
  return read + text.slice(done);
}
