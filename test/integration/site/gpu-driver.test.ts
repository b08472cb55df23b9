import { mkdir, readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GpuScripts, gpuScripts } from './gpu-scripts.ts';

let scripts: GpuScripts;
let path: GpuScripts['path'];
let file: GpuScripts['file'];
let program: GpuScripts['program'];
let start: GpuScripts['start'];

beforeEach(async () => {
  scripts = await gpuScripts();
  ({ path, file, program, start } = scripts);
});
afterEach(() => scripts[Symbol.asyncDispose]());

describe('make-nodes', () => {
  const gpu = (minor: string) => `Model: \t\t NVIDIA H100\nIRQ:   \t\t 41\nDevice Minor: \t ${minor}\n`;

  /** Under fakeroot, so that no right to make devices is needed. */
  async function make(devices: string, gpus: Record<string, string>) {
    await file('devices', devices);
    await mkdir(path('dev'), { recursive: true });
    await mkdir(path('gpus'), { recursive: true });
    for (const [name, text] of Object.entries(gpus)) await file(`gpus/${name}/information`, text);
    const line =
      '"$0" "$1" "$2" "$3"; status=$?; cd "$3" && stat -c "%n %F %t:%T %a" * 2> /dev/null; exit $status';
    const args = [path('cvm/gpu/make-nodes'), path('devices'), path('gpus'), path('dev')];
    await program('dmesg', 'echo "[ 1.2] nvidia: module verification failed: \'key\' missing"; echo other');
    const { stdout, exitCode } = await execa('fakeroot', ['--', 'sh', '-c', line, ...args], {
      env: scripts.env,
      reject: false,
    });
    return { status: exitCode, said: stdout.split('\n') };
  }
  const loaded = 'Character devices:\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n\nBlock devices:\n  8 sd\n';

  it('makes a node for each GPU that the driver numbers, and those of control and CUDA', async () => {
    const made = await make(loaded, { '0000:01:00.0': gpu('0'), '0000:02:00.0': gpu('3') });
    const node = (name: string, numbers: string) => `${name} character special file ${numbers} 666`;
    expect(made).toEqual({
      status: 0,
      said: [
        'the VM has 2 GPU(s)',
        node('nvidia-uvm', '1fc:0'),
        node('nvidia-uvm-tools', '1fc:1'),
        node('nvidia0', 'c3:0'),
        node('nvidia3', 'c3:3'),
        node('nvidiactl', 'c3:ff'),
      ],
    });
  });

  it('knows the name of older drivers', async () => {
    const older = loaded.replace('195 nvidia\n195 nvidiactl', '195 nvidia-frontend');
    expect((await make(older, { a: gpu('0') })).status).toBe(0);
  });

  it.each([
    [
      'without a driver, with the kernel’s words',
      'Character devices:\n 1 mem\n',
      {},
      /not loaded: .*'key' missing/,
    ],
    [
      'with a block device of that name',
      'Character devices:\n 1 mem\nBlock devices:\n195 nvidia\n',
      {},
      /not loaded/,
    ],
    ['without the part for CUDA', 'Character devices:\n195 nvidia\n', { a: gpu('0') }, /nvidia_uvm/],
    ['without a GPU', loaded, {}, /no GPU that NVIDIA's driver takes/],
    ['with a GPU of no number', loaded, { a: gpu('N/A') }, /does not number/],
    ['with a number that is a path', loaded, { a: gpu('0/../../x') }, /does not number/],
    ['with a number too large', loaded, { a: gpu('1000') }, /does not number/],
  ])('refuses %s', async (_, devices, gpus, why) => {
    const { status, said } = await make(devices, gpus);
    expect(status).toBe(1);
    expect(said[0]).toMatch(/^FAILED E72: /);
    expect(said[0]).toMatch(why);
    expect(said).toHaveLength(1);
  });
});

describe('set-ready', () => {
  /** nvidia-smi conf-compute, by option. */
  async function ready(confidential: 'yes' | 'no', answers: Record<string, string>) {
    await file('cvm/gpu/settings', `gpu_confidential='${confidential}'\n`);
    const cases = Object.entries(answers).map(
      ([option, words]) => `'conf-compute ${option}') echo '${words}' ;;`,
    );
    await program(
      'nvidia-smi',
      `echo "$*" >> ${path('smi')}\ncase $* in ${cases.join(' ')} *) echo "Not Supported"; exit 3 ;; esac`,
    );
    const end = await start('set-ready');
    const asked = (await readFile(path('smi'), 'utf8')).trim().split('\n');
    return { ...end, wasSet: asked.includes('conf-compute -srs 1') };
  }
  const on = {
    '-f': 'CC status: ON',
    '-d': 'DevTools Mode: OFF',
    '-srs 1': 'Set the ready state.',
    '-grs': 'Confidential Compute GPUs Ready state: ready',
  };

  it('lets a GPU in confidential-computing mode take work', async () => {
    expect(await ready('yes', on)).toEqual({
      status: 0,
      said: 'the GPU takes work; its evidence is for the workload to check',
      wasSet: true,
    });
  });

  it.each([
    ['without that mode', { ...on, '-f': 'CC status: OFF' }, /CC status: OFF/],
    ['that may be debugged', { ...on, '-d': 'DevTools Mode: ON' }, /DevTools Mode: ON/],
    ['that does not answer', {}, /Not Supported/],
  ])('refuses a GPU %s, and never sets it ready', async (_, answers, why) => {
    const { status, said, wasSet } = await ready('yes', answers as Record<string, string>);
    expect({ status, wasSet }).toEqual({ status: 1, wasSet: false });
    expect(said).toMatch(/^FAILED E73: the GPU is not in confidential-computing mode/);
    expect(said).toMatch(why);
  });

  it.each([
    'Confidential Compute GPUs Ready state: not-ready',
    'Not ready',
    '',
  ])('refuses a GPU whose state stays %j', async (state) => {
    const { status, said } = await ready('yes', { ...on, '-grs': state });
    expect(status).toBe(1);
    expect(said).toMatch(/^FAILED E73: the GPU cannot be set ready: Set the ready state\.; /);
  });

  it('in a development bundle takes a GPU without that mode, and says so', async () => {
    const { status, said, wasSet } = await ready('no', { '-f': 'CC status: OFF' });
    expect({ status, wasSet }).toEqual({ status: 0, wasSet: false });
    expect(said).toMatch(/only a development bundle takes/);
  });
});

describe('a failure', () => {
  it('is told once, with the first cause, to boot log and verdict', async () => {
    await file('cvm/gpu/settings', "gpu_confidential='yes'\n");
    await program('nvidia-smi', 'echo "bad \\"state\\""');
    expect((await start('set-ready')).said).toMatch(/^FAILED E73/);
    expect(await start('ended')).toEqual({ status: 1, said: '' });
    const verdict = await readFile(path('verdict'), 'utf8');
    expect(verdict).toBe('verdict failed E73 the GPU is not in confidential-computing mode: bad state\n');
  });

  it('of a program that says nothing itself has the words of systemd', async () => {
    expect(await start('ended')).toEqual({
      status: 1,
      said: 'FAILED E72: what keeps the GPU ready has ended (exit-code)',
    });
  });
});
