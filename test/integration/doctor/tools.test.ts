import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/doctor/check.ts';
import type { Situation } from '../../../src/doctor/situation.ts';
import { toolCheck } from '../../../src/doctor/tools.ts';
import type { Step, Tool } from '../../../src/host/tools.ts';
import { Doctor } from './doctor.ts';

let doctor: Doctor;
const path = process.env.PATH;
beforeAll(async () => {
  doctor = await Doctor.make();
  process.env.PATH = `${doctor.folder}/programs:${path}`;
});
afterAll(async () => {
  process.env.PATH = path;
  await doctor[Symbol.asyncDispose]();
});

const row: Tool = {
  package: 'stand-in',
  purpose: 'test',
  steps: ['build'],
  minimum: { version: '2.5', lacks: 'the option --new' },
};

function check(name: string, tool: Tool = row, ahead: Step[] = ['build']): Promise<Outcome> {
  const situation = { isRoot: false, stepsAhead: async () => new Set(ahead) } as unknown as Situation;
  return toolCheck(name, tool).run({ situation, signal: new AbortController().signal });
}

describe('a program', () => {
  it('that is new enough is ok, with its version', async () => {
    await doctor.program('cvm-new', ['echo "cvm-new 2.10.1"']);
    expect(await check('cvm-new')).toMatchObject({
      status: 'ok',
      says: '2.10.1; for every build',
      facts: {
        version: '2.10.1',
        minimum: '2.5',
        installed: true,
        path: `${doctor.folder}/programs/cvm-new`,
      },
    });
  });

  it('that is too old is a problem that says what it lacks, and can be installed', async () => {
    await doctor.program('cvm-old', ['echo "cvm-old 2.4.3"']);
    expect(await check('cvm-old')).toMatchObject({
      status: 'problem',
      says: '2.4.3 lacks the option --new: 2.5 or later is needed for every build',
      hint: 'apt-get install stand-in',
      packages: ['stand-in'],
    });
  });

  it('that is missing is a problem where a build needs it', async () => {
    expect(await check('cvm-no-such-program')).toMatchObject({
      status: 'problem',
      says: 'not installed; for every build',
      hint: 'apt-get install stand-in',
      packages: ['stand-in'],
      facts: { installed: false, needed: true },
    });
  });

  it('that is missing is a warning where only other things need it', async () => {
    const outcome = await check('cvm-no-such-program', { ...row, steps: ['boot', 'logs'] });
    expect(outcome).toMatchObject({ status: 'warning', says: 'not installed; for cvm boot, cvm logs' });
  });

  it('tells its version on standard error as well', async () => {
    await doctor.program('cvm-loud', ['echo "cvm-loud 3.0" >&2']);
    expect(await check('cvm-loud')).toMatchObject({ status: 'ok', facts: { version: '3.0' } });
  });

  it('that tells no version is a warning', async () => {
    await doctor.program('cvm-garbage', ["printf '\\377\\000\\033[2J garbage 12\\n'"]);
    expect(await check('cvm-garbage')).toMatchObject({
      status: 'warning',
      says: expect.stringContaining('does not tell its version'),
    });
  });

  it('that prints without end is cut off', async () => {
    await doctor.program('cvm-endless', ['exec yes garbage']);
    expect((await check('cvm-endless')).status).not.toBe('ok');
  });

  it('that cannot start is a problem in its own words', async () => {
    await doctor.program('cvm-unlinked', [
      'echo "cvm-unlinked: error while loading shared libraries: libx 9.9.9: cannot open" >&2',
      'exit 127',
    ]);
    expect(await check('cvm-unlinked')).toMatchObject({
      status: 'problem',
      says: expect.stringMatching(/does not work: .*libx 9\.9\.9/),
      hint: 'apt-get install --reinstall stand-in',
    });
  });

  it('that hangs is killed in time, with what it started', async () => {
    await doctor.program('cvm-hanging', ["trap '' TERM", 'sleep 98765 &', 'wait']);
    const begin = Date.now();
    expect(await check('cvm-hanging')).toMatchObject({
      status: 'problem',
      says: expect.stringContaining('did not end within 8 s'),
    });
    expect(Date.now() - begin).toBeLessThan(18_000);
    const left = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    expect(left).not.toContain('sleep 98765');
  });

  it('that cannot tell a version is not started', async () => {
    await doctor.program('cvm-mute', [`touch ${doctor.folder}/started`, 'exit 1']);
    expect(await check('cvm-mute', { ...row, version: false })).toMatchObject({ status: 'ok' });
    expect(() => execFileSync('ls', [`${doctor.folder}/started`], { stdio: 'ignore' })).toThrow();
  });
});
