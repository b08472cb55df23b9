import { type RestLine, restOf } from './rest.ts';
import { type Reading, ScriptVariables, type Span } from './variables.ts';
import type { Token, Word } from './words.ts';

/** What a launch_vm.sh starts the VM with. A file is a path below the bundle's folder, or as the script names it. */
export interface LaunchScriptValues {
  /** Counts it offers, its default first. Text, because nothing says that they are numbers. */
  vcpus: Reading<string[]>;
  cpu: Reading<string>;
  cmdline: Reading<string>;
  firmware: Reading<string>;
  kernel: Reading<string>;
  initrd: Reading<string>;
  /** SNP guest policy. */
  policy: Reading<string>;
  /** `on` or `off` where it is one of QEMU's words for them. */
  kernelHashes: Reading<string>;
}

export interface LaunchScriptReading {
  values: LaunchScriptValues;
  /** Why nothing of the script could be read; `rest` is empty then. */
  problem: { cause: string; line: number | undefined } | undefined;
  /** Not measured. */
  allowedPorts: Reading<string[]>;
  userDataReadonly: Reading<string>;
  /** The script without its comments and with a mark for each value, for comparing what is left; see `restOf`. */
  rest: readonly RestLine[];
}

/** How the script finds the folder it lies in; the NUL stands for that folder, and no script can hold one. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
const here = { raw: '$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")', value: '\0' } as const;

/** The variables that the builder writes the values to. */
const variables = ['cpu', 'policy', 'cmdline', 'measured_counts'] as const;

/**
 * Reads the measured values out of a launch_vm.sh without running it: the host may have changed it in any way. A value
 * is told only where it is written out; what depends on expansions, or is set twice, comes back with the cause.
 * What hides from this reading is in `rest`. Never throws, whatever the text, and takes time in proportion to it.
 */
export function readLaunchScript(text: string): LaunchScriptReading {
  const script = new ScriptVariables(text, { here });
  const file = (option: string) => mapped(optionValue(script, option), inFolder);
  const values = {
    vcpus: readCounts(script),
    cpu: optionValue(script, 'cpu'),
    cmdline: optionValue(script, 'append'),
    firmware: file('bios'),
    kernel: file('kernel'),
    initrd: file('initrd'),
    policy: guestProperty(script, 'policy'),
    kernelHashes: mapped(guestProperty(script, 'kernel-hashes', 'off'), onOrOff),
  };
  const guarded = <T>(reading: Reading<T>): Reading<T> =>
    script.problem === undefined ? reading : { ...script.problem, spans: [] };
  const spans = [
    ...Object.values(values).flatMap((reading) => reading.spans),
    // Also where the value is no longer taken from its variable.
    ...variables.flatMap((name) => script.assignments(name).map(({ span }) => span)),
  ];
  const all = Object.entries(values).map(([name, reading]) => [name, guarded<unknown>(reading)]);
  return {
    values: Object.fromEntries(all) as LaunchScriptValues,
    allowedPorts: guarded(script.list('allowed_ports')),
    userDataReadonly: guarded(script.variable('user_data_readonly')),
    problem: script.problem,
    rest: script.problem === undefined ? restOf(text, script.tokens, spans) : [],
  };
}

/** The words after an option of QEMU, which takes it with one dash or two; the span is the word's. */
function optionWords(script: ScriptVariables, option: string): { word: Word; span: Span }[] {
  return script.tokens.flatMap((token, index) => {
    if (!isText(token, `-${option}`) && !isText(token, `--${option}`)) return [];
    const next = script.tokens[index + 1];
    return next?.kind === 'word' ? [{ word: next, span: [next.start, next.end] as const }] : [];
  });
}

function isText(token: Token, text: string): boolean {
  if (token.kind !== 'word' || token.parts.some(({ kind }) => kind !== 'text')) return false;
  return token.parts.map((part) => (part.kind === 'text' ? part.text : '')).join('') === text;
}

/** The one word after an option. */
function onlyWord(script: ScriptVariables, option: string): { word: Word; span: Span } | Reading<never> {
  const found = optionWords(script, option);
  const [only] = found;
  const spans = found.map(({ span }) => span);
  if (only === undefined) return { cause: `QEMU is given no -${option}`, line: undefined, spans };
  if (found.length === 1) return only;
  const lines = found.slice(0, 10).map(({ word }) => word.line);
  const cause = `-${option} is given more than once, at lines ${lines.join(' and ')}`;
  return { cause, line: lines[0], spans };
}

function optionValue(script: ScriptVariables, option: string): Reading<string> {
  const found = onlyWord(script, option);
  if (!('word' in found)) return found;
  const reading = script.word(found.word);
  return { ...reading, spans: [found.span, ...reading.spans] };
}

/** `-smp "$count"`, where `count` is the first measured count or the argument of `-c`, is as the builder writes it. */
function readCounts(script: ScriptVariables): Reading<string[]> {
  const found = onlyWord(script, 'smp');
  if (!('word' in found)) return found;
  const { word, span } = found;
  const written = word.parts.filter((part) => part.kind !== 'text' || part.text !== '');
  const [part] = written;
  if (written.length !== 1 || part?.kind !== 'variable' || part.name !== 'count') {
    const fixed = script.word(word);
    return { ...mapped(fixed, (value) => [value]), spans: [span, ...fixed.spans] };
  }
  const counts = script.list('measured_counts');
  const assignments = script.assignments('count');
  // The lines that set count stay in the rest: which of them come first is no matter of values.
  const spans = [span, ...counts.spans];
  if ('cause' in counts) return { ...counts, spans };
  if (counts.spans.some(([start]) => start > word.start)) {
    return { cause: 'measured_counts is set only after its use', line: counts.line, spans };
  }
  const fixed: string[] = [];
  for (const { raw, parts, line } of assignments) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
    if (raw === '$2' || raw === '${measured_counts[0]}') continue;
    if (parts.some(({ kind }) => kind !== 'text')) {
      return { cause: 'count is set to something that depends on the run', line, spans };
    }
    fixed.push(parts.map((one) => (one.kind === 'text' ? one.text : '')).join(''));
  }
  const [setter] = script.otherSetters('count');
  if (setter !== undefined) return { cause: 'count is set in another way as well', line: setter, spans };
  const line = fixed.length === 0 ? counts.line : assignments.find(({ raw }) => raw !== '$2')!.line;
  return { value: [...new Set([...fixed, ...counts.value])], line, spans };
}

/** A property of `-object sev-snp-guest,…`. */
function guestProperty(script: ScriptVariables, name: string, absent?: string): Reading<string> {
  const objects = optionWords(script, 'object').filter(({ word }) => {
    const [first] = word.parts;
    return first?.kind === 'text' && first.text.startsWith('sev-snp-guest,');
  });
  const [only, second] = objects;
  if (only === undefined)
    return { cause: 'QEMU is given no -object sev-snp-guest', line: undefined, spans: [] };
  const { word } = only;
  if (second !== undefined) {
    const cause = `-object sev-snp-guest is given more than once, at lines ${word.line} and ${second.word.line}`;
    return { cause, line: word.line, spans: objects.map(({ span }) => span) };
  }
  const mine = splitAtCommas(word).filter(({ parts }) => {
    const [first] = parts;
    return first?.kind === 'text' && (first.text === name || first.text.startsWith(`${name}=`));
  });
  const [property, again] = mine;
  const spans = propertySpans(word, name);
  if (property === undefined) {
    if (absent !== undefined) return { value: absent, line: word.line, spans };
    return { cause: `-object sev-snp-guest has no ${name}`, line: word.line, spans };
  }
  if (again !== undefined) return { cause: `${name} is given twice`, line: word.line, spans };
  const [first, ...others] = property.parts as [{ kind: 'text'; text: string }, ...Word['parts']];
  const parts = [{ kind: 'text' as const, text: first.text.slice(name.length + 1) }, ...others];
  const reading = script.word({ ...word, parts });
  return { ...reading, spans: [...spans, ...reading.spans] };
}

/** The pieces of an option's value between single commas; an expansion is taken to hold none, `rest` has it. */
function splitAtCommas({ parts }: Word): { parts: Word['parts'] }[] {
  const pieces: { parts: Word['parts'][number][] }[] = [{ parts: [] }];
  for (const part of parts) {
    if (part.kind !== 'text') {
      pieces.at(-1)!.parts.push(part);
      continue;
    }
    for (const [index, text] of part.text.split(',').entries()) {
      if (index > 0) pieces.push({ parts: [] });
      pieces.at(-1)!.parts.push({ kind: 'text', text });
    }
  }
  return pieces;
}

/** Where the value of `,name=value` stands in the text as written. */
function propertySpans(word: Word, name: string): Span[] {
  const pattern = new RegExp(`(,${name}=)([^,"']*)(?=[,"']|$)`, 'g');
  return [...word.raw.matchAll(pattern)].map(({ 1: before = '', 2: value = '', index }) => {
    const start = word.start + index + before.length;
    return [start, start + value.length];
  });
}

function mapped<T, U>(reading: Reading<T>, change: (value: T) => U): Reading<U> {
  return 'cause' in reading ? reading : { ...reading, value: change(reading.value) };
}

/** Below the script's own folder a path is told relative to it. */
function inFolder(path: string): string {
  const prefix = `${here.value}/`;
  if (path.startsWith(prefix)) return path.slice(prefix.length);
  return path.replaceAll(here.value, '<bundle>');
}

/** QEMU's words for a boolean (include/qapi/util.h, qapi_bool_parse). */
function onOrOff(word: string): string {
  if (['on', 'yes', 'true', 'y'].includes(word)) return 'on';
  return ['off', 'no', 'false', 'n'].includes(word) ? 'off' : word;
}
