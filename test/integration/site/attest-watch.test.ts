import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shellVariables, templatePath } from '../../../src/host/template.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attest-watch-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** In place of what asks, logs and powers off: answers from a list, a word an attempt; the last one for ever. */
const ending = `
now_text() { read -r up _ < /proc/uptime; printf '%s' "\${up%%.*}"; }
attempt() {
  set -- "$1" $(sed -n "$1p" ./script; sed -n '$p' ./script)
  echo "attempt $1 $2" >> log
  case $2 in
    hang) sleep 30 ;;
    late) sleep 3; printf '%s 0 late\\n' "$1" >&3 ;;
    noise) printf '0 0 forged\\n%s 0 fine\\n' "$1" >&3 ;;
    *) printf '%s %s because\\n' "$1" "$2" >&3 ;;
  esac
}
say() { echo "say $*" >> log; }
end_vm() { echo "end $1 $2" >> log; exit 7; }
`;

/** Runs the watch against scripted answers until it ends the VM, or for some seconds. */
async function watch(answers: string[], { silence = 1000, frequency = 1, seconds = 20 } = {}) {
  const runtime = await mkdtemp(join(folder, 'run-'));
  await copyFile(templatePath('site/attest/watch'), join(runtime, 'watch'));
  await writeFile(join(runtime, 'ending.sh'), ending);
  await writeFile(join(runtime, 'script'), `${answers.join('\n')}\n`);
  const settings = { check_frequency: frequency, silence_seconds: silence };
  await writeFile(join(runtime, 'settings'), shellVariables(settings));
  const began = performance.now();
  const { exitCode } = await execa('timeout', [String(seconds), 'busybox', 'sh', join(runtime, 'watch')], {
    env: { RUNTIME_DIRECTORY: runtime },
    reject: false,
    // An attempt that hangs must not hold up the test either.
    stdio: 'ignore',
  });
  const log = (await readFile(join(runtime, 'log'), 'utf8')).trimEnd().split('\n');
  return { ended: exitCode === 7, exitCode, log, seconds: (performance.now() - began) / 1000 };
}

const attempts = (log: string[]) => log.filter((line) => line.startsWith('attempt ')).length;

it('runs on while the broker confirms, and says so once', async () => {
  const { ended, log } = await watch(['0'], { seconds: 5, silence: 3 });
  expect(ended).toBe(false);
  expect(attempts(log)).toBeGreaterThan(2);
  expect(log.filter((line) => line.startsWith('say '))).toEqual([
    'say attestation: the KBS confirms this VM; asking every 1 s',
  ]);
});

it('ends the VM at the third refusal in a row', async () => {
  const { ended, log } = await watch(['0', '1']);
  expect(ended).toBe(true);
  expect(attempts(log)).toBe(4);
  expect(log.at(-1)).toBe('end E37 the KBS refused this VM three times in a row');
  expect(log).toContain('say attestation: the KBS refused this VM (2 of 3 in a row): because');
});

it('begins to count anew after a confirmation, and after nothing else', async () => {
  const { log } = await watch(['1', '1', '0', '1', '3', '1', '3', '3', '1']);
  expect(attempts(log)).toBe(9);
  expect(log.at(-1)).toMatch(/^end E37 /);
});

it('ends the VM where nobody confirms it for too long', async () => {
  const { ended, log, seconds } = await watch(['0', '3'], { silence: 4 });
  expect(ended).toBe(true);
  expect(log.at(-1)).toBe('end E38 the KBS has not confirmed this VM for 4 seconds');
  expect(seconds).toBeGreaterThanOrEqual(4);
  expect(log.filter((line) => line.includes('no answer'))).toHaveLength(1);
});

it('counts silence from the start: a broker that never answers ends the VM too', async () => {
  const { log } = await watch(['3'], { silence: 3 });
  expect(log.at(-1)).toMatch(/^end E38 /);
});

it('refusals that are rarer than three in a row do not reset the silence', async () => {
  const { log } = await watch(['1', '3', '1', '3'], { silence: 4 });
  expect(log.at(-1)).toMatch(/^end E38 /);
});

it('an attempt that never ends is silence, and does not hold up the end', async () => {
  const { log, seconds } = await watch(['0', 'hang'], { silence: 4 });
  expect(log.at(-1)).toMatch(/^end E38 /);
  expect(seconds).toBeLessThan(10);
});

it('the answer of another attempt counts for nothing', async () => {
  const { log } = await watch(['noise', '1']);
  expect(log).toContain('say attestation: the KBS confirms this VM; asking every 1 s');
  expect(log.at(-1)).toMatch(/^end E37 /);
  expect(attempts(log)).toBe(4);
});

it('ends with an error where it has no settings, which powers the VM off as well', async () => {
  const runtime = await mkdtemp(join(folder, 'run-'));
  await copyFile(templatePath('site/attest/watch'), join(runtime, 'watch'));
  const { exitCode } = await execa('busybox', ['sh', join(runtime, 'watch')], {
    env: { RUNTIME_DIRECTORY: runtime },
    reject: false,
  });
  expect(exitCode).not.toBe(0);
  const unit = await readFile(templatePath('site/attest/cvm-attestation.service'), 'utf8');
  expect(unit).toMatch(/^FailureAction=poweroff-immediate$/m);
  expect(unit).toMatch(/^SuccessAction=poweroff-immediate$/m);
});
