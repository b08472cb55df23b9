/**
 * Benchmark of the launch measurement on the firmware, kernel and initrd of a bundle:
 * `measure.ts <folder cvm_<id>> [<sev-snp-measure>]`. Exit status 1 where a bound is passed.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { kernelParameters } from '../../src/bundle/index.ts';
import { hashBlobs, launchDigests, parseCpu, readFirmware } from '../../src/measure/index.ts';
import { hashInputsAlone } from './floor.ts';
import { type Comparison, isWithin, table } from './table.ts';
import { timeByTurns } from './timing.ts';

const [bundle, upstream] = process.argv.slice(2);
if (bundle === undefined) throw new Error('usage: measure.ts <folder cvm_<id>> [<sev-snp-measure>]');

const root = join(import.meta.dirname, '../..');
const files = {
  ovmf: join(bundle, 'OVMF.amdsev.fd'),
  kernel: join(bundle, 'vmlinuz'),
  initrd: join(bundle, 'initrd.img'),
};
const commandLine = kernelParameters.join(' ');
const cpu = 'EPYC-v4';
const signature = parseCpu(cpu);

async function measure(): Promise<string> {
  const firmware = await readFirmware(files.ovmf);
  const { kernel, initrd } = files;
  const blobs = await hashBlobs({ kernel, initrd, commandLine });
  return launchDigests({ firmware, blobs }, [{ vcpus: 4, signature }])[0]!.toString('hex');
}

async function libraryCall(): Promise<Comparison> {
  const works = { ours: measure, floor: () => hashInputsAlone(files) };
  const { ours, floor } = await timeByTurns(works, { warmUp: 10, rounds: 41 });
  return {
    ours: ['a library call, files to digest', ours],
    other: ['kernel, initrd and firmware pages hashed alone', floor],
    bound: 1.3,
  };
}

async function manyCounts(): Promise<Comparison[]> {
  const firmware = await readFirmware(files.ovmf);
  const digestsFor = (counts: readonly number[]) => () =>
    launchDigests(
      { firmware },
      counts.map((vcpus) => ({ vcpus, signature })),
    );
  const all = Array.from({ length: 512 }, (_, index) => index + 1);
  const works = { all: digestsFor(all), most: digestsFor([512]), one: digestsFor([1]) };
  const timings = await timeByTurns(works, { warmUp: 10, rounds: 41 });
  const ours: Comparison['ours'] = ['digests for 1 to 512 vCPUs', timings.all];
  return [
    { ours, other: ['the digest for 512 vCPUs', timings.most], bound: 1.5 },
    { ours, other: ['the digest for 1 vCPU', timings.one], bound: 1.5 },
  ];
}

async function wholeCommand(program: string): Promise<Comparison> {
  const { ovmf, kernel, initrd } = files;
  const boot = [
    '--ovmf',
    ovmf,
    '--kernel',
    kernel,
    '--initrd',
    initrd,
    '--append',
    commandLine,
    '--vcpus',
    '4',
  ];
  const run = (file: string, args: readonly string[]) =>
    execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const cvm = () => run(join(root, 'bin/cvm'), ['measure', ...boot, '--cpu', cpu]);
  const theirs = () => run(program, ['--mode', 'snp', ...boot, '--vcpu-type', cpu]);
  // Two programs that do different things are not worth comparing.
  const digest = await measure();
  if (theirs().trim() !== digest || !cvm().includes(digest)) {
    throw new Error('cannot compare the commands: they do not print the same digest');
  }
  const timings = await timeByTurns({ cvm, theirs }, { warmUp: 3, rounds: 21 });
  return {
    ours: ['the command cvm measure', timings.cvm],
    other: ['the command sev-snp-measure', timings.theirs],
    bound: 1,
  };
}

const comparisons = [await libraryCall(), ...(await manyCounts())];
if (upstream !== undefined) comparisons.push(await wholeCommand(upstream));
console.log(table(comparisons));
if (upstream === undefined) console.log('NOT RUN: the commands; there is no sev-snp-measure to compare with');
process.exitCode = comparisons.every(isWithin) ? 0 : 1;
