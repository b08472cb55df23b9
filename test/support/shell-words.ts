/** What the shell of busybox knows by itself. */
export const builtins = new Set(
  'if then else elif fi for while until do done case esac in function ! { } [[ . : alias break cd command continue eval exec exit export getopts hash kill let local printf pwd read readonly return set shift source test times trap type ulimit umask unset wait echo [ true false'.split(
    ' ',
  ),
);

/** Names of the functions that a script defines. */
export function functionsOf(script: string): string[] {
  return [...script.matchAll(/^([a-z_]+)\(\) *[({]/gm)].map((match) => match[1]!);
}

/** Words in the place of a command. Approximate on purpose: it may miss one, but invents none. */
export function commandWords(script: string): Set<string> {
  const code = script
    .replace(/\\\n/g, ' ')
    .replace(/'[^']*'/g, "''")
    // Double quotes stay where they hold a command.
    .replace(/"(?:[^"\\$]|\\.|\$(?!\()|\$\(\()*"/g, '""')
    .replace(/(^|\s)#.*$/gm, '')
    .replace(/^\s*[^()\n]+\)(?=\s)/gm, '\n');
  const place =
    /(?:^|[;&|]|\$\(|[({]\s|\b(?:if|then|else|elif|while|until|do|exec|command|!)\s)\s*((?:[A-Za-z_]\w*=(?:"[^"]*"|\S*)\s+)*)([a-z][\w.-]*)(?=[\s;)|&]|$)/gm;
  return new Set([...code.matchAll(place)].map((match) => match[2]!));
}
