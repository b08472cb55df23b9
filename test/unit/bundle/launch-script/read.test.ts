// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the shell's
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type LaunchScriptValues,
  launchScript,
  type Reading,
  readLaunchScript,
} from '../../../../src/bundle/index.ts';
import { launchInput } from '../fixture.ts';

const script = await launchScript(launchInput);
const lineOf = (text: string, part: string) => text.slice(0, text.indexOf(part)).split('\n').length;

/** The script with one piece replaced, which must be there once. */
function edited(piece: string, replacement: string): string {
  expect(script.split(piece)).toHaveLength(2);
  return script.replace(piece, () => replacement);
}

const told = <T>(reading: Reading<T>) =>
  'cause' in reading ? `cannot be read: ${reading.cause}` : reading.value;
const valuesOf = (text: string) =>
  Object.fromEntries(
    Object.entries(readLaunchScript(text).values).map(([name, one]) => [name, told<unknown>(one)]),
  );

const built = {
  vcpus: ['4', '8'],
  cpu: 'EPYC-v4',
  cmdline: launchInput.launch.cmdline,
  firmware: 'OVMF.amdsev.fd',
  kernel: 'vmlinuz',
  initrd: 'initrd.img',
  policy: '0x30000',
  kernelHashes: 'on',
};

describe('the script that the builder writes', () => {
  const { values, allowedPorts, userDataReadonly } = readLaunchScript(script);

  it('is read in full', () => {
    expect(valuesOf(script)).toEqual(built);
    expect([allowedPorts, userDataReadonly].map(told<unknown>)).toEqual([['8002', '8003'], 'on']);
  });

  it.each([
    ['cpu', 'cpu='],
    ['policy', 'policy='],
    ['cmdline', 'cmdline='],
    ['vcpus', 'measured_counts='],
    ['firmware', '-bios'],
    ['kernel', '-kernel'],
    ['initrd', '-initrd'],
    ['kernelHashes', 'kernel-hashes=on'],
  ] as const)('has %s at the line with %s', (name, part) => {
    expect(values[name].line).toBe(lineOf(script, part));
  });

  it('gives back every command line that it can hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        const cmdline = text.replaceAll('\0', '');
        const { values } = readLaunchScript(
          await launchScript({ ...launchInput, launch: { ...launchInput.launch, cmdline } }),
        );
        expect(told(values.cmdline)).toBe(cmdline);
      }),
    );
  });
});

const cpuLine = "cpu='EPYC-v4'";
const cmdlineLine = `cmdline='${built.cmdline}'`;

describe('a plain edit is understood', () => {
  it.each<[keyof LaunchScriptValues, string, string, unknown]>([
    ['cpu', cpuLine, 'cpu=EPYC-Milan', 'EPYC-Milan'],
    ['cpu', cpuLine, 'cpu="EPYC-Milan" # newer', 'EPYC-Milan'],
    ['cpu', cpuLine, "cpu=EP'YC-Mi'lan", 'EPYC-Milan'],
    ['cpu', cpuLine, 'cpu=EPYC\\\n-Milan', 'EPYC-Milan'],
    ['cpu', cpuLine, '# cpu=EPYC-v4\ncpu=EPYC-Milan', 'EPYC-Milan'],
    ['cpu', '-cpu "$cpu"', '-cpu EPYC-Milan', 'EPYC-Milan'],
    ['cpu', '-cpu "$cpu"', '--cpu $cpu,+x', 'EPYC-v4,+x'],
    ['cmdline', '-append "$cmdline"', '-append "${cmdline} init=/bin/sh"', `${built.cmdline} init=/bin/sh`],
    ['cmdline', cmdlineLine, 'cmdline="a \\"b\\" \\$c \\d"', 'a "b" $c \\d'],
    ['cmdline', cmdlineLine, "extra='x y'\ncmdline=$extra", 'x y'],
    ['vcpus', "measured_counts=('4' '8')", 'measured_counts=(3)', ['3']],
    ['vcpus', "measured_counts=('4' '8')", 'measured_counts=(\n  4 # small\n  16\n)', ['4', '16']],
    ['vcpus', '-smp "$count"', '-smp 3,cores=3', ['3,cores=3']],
    ['vcpus', 'count=${measured_counts[0]}', 'count=3', ['3', '4', '8']],
    ['firmware', '"$here/OVMF.amdsev.fd"', '/usr/share/OVMF.fd', '/usr/share/OVMF.fd'],
    ['kernel', '"$here/vmlinuz"', '"$here/../vmlinuz"', '../vmlinuz'],
    ['kernel', '"$here/vmlinuz"', './vmlinuz', './vmlinuz'],
    ['initrd', '"$here/initrd.img"', '"$here"/other.img', 'other.img'],
    ['policy', 'policy=$policy', 'policy=0xb0000', '0xb0000'],
    ['kernelHashes', 'kernel-hashes=on', 'kernel-hashes=off', 'off'],
    ['kernelHashes', 'kernel-hashes=on', 'kernel-hashes=yes', 'on'],
    ['kernelHashes', ',kernel-hashes=on', '', 'off'],
    // Properties and other objects beside the model and the guest are no part of either.
    ['cpu', '-global "$cpu-x86_64-cpu.phys-bits=$bits"', '-global max-x86_64-cpu.x=y', 'EPYC-v4'],
    ['policy', "-object 'iommufd,id=iommufd0'", '-object tdx-guest,id=x,policy=1', '0x30000'],
  ])('%s: %s becomes %s', (name, piece, replacement, value) => {
    expect(valuesOf(edited(piece, replacement))).toEqual({ ...built, [name]: value });
  });
});

describe('what is not written out is not guessed', () => {
  it.each<[keyof LaunchScriptValues, string, string, RegExp]>([
    ['cpu', cpuLine, 'cpu=$(cat /etc/cpu)', /\$\(cat \/etc\/cpu\) is worked out only when the script runs/],
    ['cpu', cpuLine, 'cpu=`cat x`', /only when the script runs/],
    ['cpu', cpuLine, 'cpu=${CPU:-EPYC-v4}', /only when the script runs/],
    ['cpu', cpuLine, "cpu=$'EPYC\\x2dv4'", /only when the script runs/],
    ['cpu', cpuLine, 'cpu=EPYC-*', /only when the script runs/],
    ['cpu', cpuLine, 'cpu=$CPU', /no line sets CPU/],
    ['cpu', cpuLine, 'cpu=$cpu', /set from itself/],
    ['cpu', cpuLine, '', /no line sets cpu/],
    ['cpu', cpuLine, `${cpuLine}\ncpu=EPYC-Milan`, /more than once, at lines 9, 10/],
    ['cpu', 'virtio=disable', 'cpu=max; virtio=disable', /more than once/],
    ['cpu', cpuLine, `${cpuLine}\ncpu+=,model=2`, /more than once/],
    ['cpu', cpuLine, `${cpuLine}\nread -r cpu < /etc/cpu`, /line 10 may set cpu again/],
    ['cpu', cpuLine, `${cpuLine}\n: "$((cpu=5))"`, /line 10 may set cpu again/],
    ['cpu', cpuLine, `${cpuLine}\n((cpu = 5))`, /line 10 may set cpu again/],
    ['cpu', cpuLine, `${cpuLine}\n: \${x:=\${cpu:=y}}`, /line 10 may set cpu again/],
    ['cpu', cpuLine, `${cpuLine} true`, /not set by a plain/],
    ['cpu', cpuLine, `true && ${cpuLine}`, /not set by a plain/],
    ['cpu', cpuLine, 'cpu=(EPYC-v4)', /is a list/],
    ['cpu', '-cpu "$cpu"', '-cpu "$cpu" -cpu max', /-cpu is given more than once/],
    ['cmdline', '-append "$cmdline"', '-append $cmdline', /not quoted, so the shell splits it/],
    ['cmdline', ' -append "$cmdline"', '', /given no -append/],
    ['vcpus', 'count=$2', 'count=$(nproc)', /depends on the run/],
    ['vcpus', "measured_counts=('4' '8')", "measured_counts=('4' < '8')", /holds more than words/],
    ['vcpus', '-smp "$count"', '-smp "$count"\n  # x\n  -smp 3', /-smp is given more than once/],
    ['vcpus', "measured_counts=('4' '8')", "measured_counts='4'", /not a list/],
    ['policy', 'policy=$policy', 'policy=$policy,policy=0xb0000', /given twice/],
    ['kernelHashes', 'kernel-hashes=on', 'kernel-hashes=on,kernel-hashes=off', /given twice/],
  ])('%s: %s becomes %s', (name, piece, replacement, cause) => {
    const { [name]: value, ...others } = valuesOf(edited(piece, replacement));
    expect(value).toMatch(/^cannot be read: /);
    expect(value).toMatch(cause);
    const { [name]: _, ...expected } = built;
    expect(others).toEqual(expected);
  });

  it.each([
    ['cpu', 'cpu'],
    ['policy', 'policy'],
    ['cmdline', 'cmdline'],
    ['vcpus', 'measured_counts'],
  ])('%s, where %s is set only after its use', (name, variable) => {
    const [line] = new RegExp(`^${variable}=.*\n`, 'm').exec(script)!;
    const { [name]: value } = valuesOf(`${script.replace(line, () => '')}${line}`);
    expect(value).toMatch(/^cannot be read: .*set only after/);
  });

  it.each(['eval "$x"', 'source ./more', '. ./more'])('%s may set anything', (line) => {
    const { kernelHashes, ...others } = valuesOf(edited(cpuLine, `${cpuLine}\n${line}`));
    for (const value of Object.values(others)) expect(value).toMatch(/line 10 may set \w+ again/);
  });

  it.each<[string, string, string, number | undefined]>([
    ['an open quote', "cpu='", 'a single quote is not closed', 1],
    ['an open expansion', '\nx="${y', 'an expansion has no }', 2],
    ['an open here-document', 'cat << END\n', 'a here-document has no end', 1],
    ['deep nesting', `x=${'$('.repeat(100)}`, 'it is nested too deeply', 1],
    ['too long a script', `x=${' '.repeat(70_000)}`, 'it is longer than 65536 characters', undefined],
    ['a NUL byte', 'cpu=a\0b', 'it holds a NUL byte', undefined],
  ])('nothing is read of %s', (_, text, cause, line) => {
    const { problem, values, rest } = readLaunchScript(text);
    expect(problem).toEqual({ cause, line });
    expect(rest).toEqual([]);
    for (const value of Object.values(values)) expect(value).toMatchObject({ cause });
  });
});

describe('the rest of the script', () => {
  const rest = (text: string) => readLaunchScript(text).rest.map((line) => line.text);

  it('holds none of the values and nothing that depends on them', () => {
    expect(rest(edited(cpuLine, '# it was EPYC-v4\ncpu=EPYC-Milan'))).toEqual(rest(script));
    expect(rest(edited('-smp "$count"', '-smp 3'))).toEqual(rest(script));
    expect(rest(edited('policy=$policy', 'policy=0xb0000'))).toEqual(rest(script));
    expect(rest(edited("measured_counts=('4' '8')", 'measured_counts=(\n  4 # small\n  16\n)'))).toEqual(
      rest(script),
    );
  });

  it('holds a mark where each value stands', () => {
    expect(rest(script)).toEqual(
      expect.arrayContaining([
        'cpu=\0',
        'cmdline=\0',
        'measured_counts=\0',
        '-cpu \0 -smp \0 -m "$memory"',
        '-kernel \0 -initrd \0 -append \0',
      ]),
    );
    expect(rest(script).join('\n').split('\0')).toHaveLength(13);
  });

  it.each<[string, string, string]>([
    ['a comment', 'a # why\nb\n', 'a\nb\n'],
    ['a line of comment', 'a\n# why\n\nb\n', 'a\nb\n'],
    ['blanks', '\ta \t  b \n', 'a b\n'],
    ['a continued line', 'a \\\n  b\n', 'a b\n'],
    ['values', "cpu='x y'\na -cpu z\n", 'cpu=1\na -cpu "$cpu"\n'],
  ])('does not tell %s', (_, one, other) => {
    expect(rest(one)).toEqual(rest(other));
  });

  it.each<[string, string, string]>([
    ['a no-break space', 'x=yes\n', 'x=yes\u00a0\n'],
    ['a carriage return', 'x=yes\n', 'x=yes\r\n'],
    ['a vertical tab', 'a b\n', 'a\vb\n'],
    ['blanks in quotes', "a 'b c'\n", "a 'b  c'\n"],
    ['an empty line in quotes', "a 'b\nc'\n", "a 'b\n\nc'\n"],
    ['an empty line in a here-document', 'cat << E\nb\nE\n', 'cat << E\n\nb\nE\n'],
    ['a blank in a here-document', 'cat << E\nb\nE\n', 'cat << E\n b\nE\n'],
    ['a comment that ends a continued line', 'a \\\nb\n', 'a \\\n# c\nb\n'],
    ['a line that ends earlier', 'a b\n', 'a\nb\n'],
    ['words that are one', 'a b\n', 'ab\n'],
    ['an option elsewhere', 'a -cpu x\nb\n', 'a\nb -cpu x\n'],
    ['an option without its value', 'a -cpu x\n', 'a -cpu\n'],
    ['a value set elsewhere', 'cpu=x\na -cpu "$cpu"\n', 'a -cpu "$cpu"\ncpu=x\n'],
    ['a value added to', 'cpu=x\n', 'cpu+=x\n'],
    ['a value for one command', 'cpu=x\na\n', 'cpu=x a\n'],
    ['what follows a list', 'measured_counts=(1)\na\n', 'measured_counts=(\n1\n) a\n'],
  ])('tells %s', (_, one, other) => {
    expect(rest(one)).not.toEqual(rest(other));
  });

  it.each([
    ['vmport=off', 'vmport=on'],
    [cpuLine, 'cpu=EPYC-v4; touch /tmp/x'],
    ['reduced-phys-bits=1', 'reduced-phys-bits=1,auth-key-enabled=on'],
    ['#!/bin/bash', '#!/bin/evil'],
    ['iommufd=iommufd0', 'iommufd=iommufd0,x-no-mmap=on'],
    ['phys-bits=$bits', 'phys-bits=$bits,kvm=off'],
    ['${port%:*}-:${port#*:}', '${port%:*}-:22'],
    ['usage_error "the VM lets nothing in', 'say "the VM lets nothing in'],
  ])('shows that %s became %s', (piece, replacement) => {
    expect(rest(edited(piece, replacement))).not.toEqual(rest(script));
  });

  it('keeps the numbers of the lines', () => {
    const found = readLaunchScript(edited(cmdlineLine, "cmdline='a\nb'")).rest.at(-1);
    expect(found).toEqual({ line: script.trimEnd().split('\n').length + 1, text: 'finish "${command[@]}"' });
  });
});

describe('whatever the text', () => {
  const pieces = [
    'cpu=',
    '-cpu ',
    '"',
    "'",
    '$',
    '{',
    '}',
    '(',
    ')',
    '`',
    '\\',
    '\n',
    '#',
    ' ',
    '<<',
    'x',
    ',',
    '=',
    '-smp ',
    '$count',
    'count',
    '-object sev-snp-guest,policy=',
  ];
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((parts) => parts.join('')),
    fc
      .tuple(fc.nat(script.length), fc.nat(20), fc.array(fc.constantFrom(...pieces), { maxLength: 4 }))
      .map(([at, cut, parts]) => script.slice(0, at) + parts.join('') + script.slice(at + cut)),
  );

  it('there is a result', () => {
    fc.assert(
      fc.property(text, (one) => {
        const { values } = readLaunchScript(one);
        for (const value of Object.values(values)) expect('cause' in value || 'value' in value).toBe(true);
      }),
      { numRuns: 2000 },
    );
  }, 60_000);

  it.each([
    ['cpu=('],
    ['a=$b '],
    ['${cpu['],
    ['((cpu[ '],
    ['<<a '],
    ['cpu=x;'],
    ['"$('],
    ['$cpu$cpu$cpu '],
    ["-object 'sev-snp-guest,policy=' "],
    ['\n#'],
  ])('%j over and over takes no more than its length', (piece) => {
    const body = piece.repeat(Math.floor(60_000 / piece.length));
    const started = performance.now();
    readLaunchScript(body);
    readLaunchScript(`cpu="\n-cpu "$cpu"\n${body}`);
    readLaunchScript(`${body}\n-cpu "${'$a'.repeat(1000)}"`);
    expect(performance.now() - started).toBeLessThan(3000);
  });

  it('variables that multiply stop early', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `v${index}="${`$v${index + 1}`.repeat(200)}"`);
    for (const last of ["v40=''", 'v40=x']) {
      const started = performance.now();
      readLaunchScript(`-cpu "$v0"\n${lines.join('\n')}\n${last}\n`);
      expect(performance.now() - started).toBeLessThan(1000);
    }
  });
});
