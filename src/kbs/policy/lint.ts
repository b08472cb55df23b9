/** What makes a policy unfit to hold rules of ours, as sentences; and what its author should look at. */
export interface PolicyFindings {
  refusals: string[];
  warnings: string[];
}

/** Strings and comments of Rego: `"…"`, raw strings in backquotes, `#` to the end of the line. */
const stringOrComment = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*/g;

/** The text without comments and with every string emptied, so that patterns see code only. */
function codeOf(text: string): string {
  return text.replaceAll(stringOrComment, (match) => (match.startsWith('#') ? '' : '""'));
}

/**
 * Reads the part of a policy that is not ours. A policy engine before regorus 0.5 takes `allow if {…}` without
 * `import rego.v1` for a rule that is always true; another package's rules are never asked, or leave ours unasked.
 */
export function lintPolicy(unmanaged: string): PolicyFindings {
  const code = codeOf(unmanaged);
  const refusals: string[] = [];
  const warnings: string[] = [];
  const packages = [...code.matchAll(/^[ \t]*package[ \t]+(\S+)/gm)].map((match) => match[1]!);
  if (packages.length === 0) refusals.push('it has no "package policy"');
  const foreign = packages.find((name) => name !== 'policy');
  if (foreign !== undefined) refusals.push(`it is of package ${foreign}, not policy`);
  if (!/^[ \t]*import[ \t]+rego\.v1[ \t]*;?[ \t]*\r?$/m.test(code)) {
    refusals.push('it lacks "import rego.v1", without which older key brokers allow everything');
  }
  const own = /^[ \t]*(?:default[ \t]+)?(cvm_[a-z_]+)\b/m.exec(code)?.[1];
  if (own !== undefined) refusals.push(`it defines ${own}, a name of the managed part`);
  if (/^[ \t]*default[ \t]+allow[ \t]*:?=[ \t]*true\b/m.test(code)) {
    refusals.push('it allows everything by default ("default allow := true")');
  } else if (/^[ \t]*allow\b/m.test(code)) {
    warnings.push('it has further "allow" rules: make sure that none of them releases a disk key');
  }
  return { refusals, warnings };
}
