import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Manifest, readManifest } from '../../../src/bundle/index.ts';
import { MeasurementError, parseCpu } from '../../../src/measure/index.ts';
import { peersBundle, preparedPeer } from '../peer.ts';
import { type Case, cases } from './cases.ts';
import { ourDigest } from './ours.ts';
import { type Files, type Result, upstreamCommand, upstreamDigests } from './upstream.ts';

const peer = preparedPeer('measure');
const root = join(import.meta.dirname, '../../..');

describe.skipIf(peer === undefined)('beside sev-snp-measure', async () => {
  const folder = peer === undefined ? '' : peersBundle();
  const manifest: Manifest | undefined = peer === undefined ? undefined : await readManifest(folder);
  const commandLine = manifest?.launch.cmdline ?? '';
  const files: Files = {
    ovmf: join(folder, 'OVMF.amdsev.fd'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
  };
  const table = cases(commandLine);
  const usual = table[0]!;
  const shipped = (manifest?.launch.digests ?? []).map(
    ({ vcpus, cpu, guest_features }): Case => ({ ...usual, vcpus, cpu, features: guest_features }),
  );

  let upstream: Result[] = [];
  let upstreamCpus: Record<string, number> = {};
  beforeAll(async () => {
    const { results, cpus } = await upstreamDigests(peer!, files, [...table, ...shipped]);
    upstream = results;
    upstreamCpus = cpus;
  });

  it.each(
    table.map((one, index) => [one.title, one, index] as const),
  )('the digest agrees: %s', async (...row) => {
    const [, one, index] = row;
    expect({ hex: (await ourDigest(files, one)).toString('hex') }).toEqual(upstream[index]);
  });

  it('the comparisons are of more than 40 different digests', () => {
    const digests = upstream.slice(0, table.length).map((result) => 'hex' in result && result.hex);
    expect(digests).not.toContain(false);
    expect(new Set(digests).size).toBeGreaterThan(40);
  });

  it("the digests in the bundle's manifest agree", () => {
    const ours = manifest!.launch.digests.map(({ hex }) => ({ hex }));
    expect(ours.length).toBeGreaterThan(0);
    expect(ours).toEqual(upstream.slice(table.length));
  });

  it('every CPU model that it knows has the same signature here', () => {
    expect(Object.keys(upstreamCpus).length).toBeGreaterThan(10);
    const ours = Object.keys(upstreamCpus).map((name) => [name, parseCpu(name)]);
    expect(Object.fromEntries(ours)).toEqual(upstreamCpus);
  });

  it.each([
    'snp',
    'seves',
    'sev',
  ] as const)('both refuse a kernel in mode %s where the firmware checks none', async (mode) => {
    const tail = join(root, 'test/vectors/ovmf-fixtures/ovmf_OvmfX64_suffix.bin');
    const generic = { ...files, ovmf: tail };
    const one = { ...usual, mode };
    const { results } = await upstreamDigests(peer!, generic, [one]);
    expect(results[0]).toEqual({
      refused: expect.stringMatching(/^RuntimeError: Kernel specified but OVMF/),
    });
    await expect(ourDigest(generic, one)).rejects.toThrow(MeasurementError);
  });

  describe('commands', () => {
    const paths = ['--ovmf', files.ovmf, '--kernel', files.kernel, '--initrd', files.initrd];
    const boot = [...paths, '--append', commandLine];

    /** Its digest as the command prints it, once as hex and once as base64. */
    async function upstreamPrints(args: readonly string[]): Promise<{ hex: string; base64: string }> {
      const print = (format: string) =>
        upstreamCommand(peer!, 'sev-snp-measure', [...args, '--output-format', format]);
      return { hex: await print('hex'), base64: await print('base64') };
    }

    it('the digest agrees in hex and in base64', async () => {
      const printed = await upstreamPrints([
        '--mode',
        'snp',
        '--vcpus',
        '4',
        '--vcpu-type',
        'EPYC-v4',
        ...boot,
      ]);
      const ours = await ourDigest(files, { ...usual, vcpus: 4 });
      expect({ hex: ours.toString('hex'), base64: ours.toString('base64') }).toEqual(printed);
    });

    const snp = { mode: 'snp', vmm: 'qemu', cpu: 'EPYC-v4', guest_features: '0x1' };

    it.each([
      [
        'several vCPU counts',
        ['--vcpus', '1,3-4', '--cpu', 'EPYC-v4'],
        [1, 3, 4].map((vcpus) => ['--mode', 'snp', '--vcpus', `${vcpus}`, '--vcpu-type', 'EPYC-v4']),
        [1, 3, 4].map((vcpus) => ({ ...snp, vcpus })),
      ],
      [
        'guest features, by family, model and stepping',
        ['--vcpus', '4', '--cpu', '25/1/1', '--guest-features', '0x21'],
        [
          ['--mode', 'snp', '--vcpus', '4', '--guest-features', '0x21', '--vcpu-family', '25'].concat(
            ...['--vcpu-model', '1', '--vcpu-stepping', '1'],
          ),
        ],
        [{ ...snp, vcpus: 4, cpu: '25/1/1', guest_features: '0x21' }],
      ],
      [
        'EC2',
        ['--vmm', 'ec2', '--vcpus', '4', '--cpu', 'EPYC-v4'],
        [['--mode', 'snp', '--vmm-type', 'ec2', '--vcpus', '4']],
        [{ mode: 'snp', vmm: 'ec2', vcpus: 4, guest_features: '0x1' }],
      ],
      [
        'SEV-ES by raw signature',
        ['--mode', 'seves', '--vcpus', '2', '--cpu', '0xa00f11'],
        [['--mode', 'seves', '--vcpus', '2', '--vcpu-sig', '0xa00f11']],
        [{ mode: 'seves', vmm: 'qemu', vcpus: 2 }],
      ],
    ])('`cvm measure --json` prints what it prints: %s', async (_, ours, theirs, fields) => {
      const { stdout } = await execa(join(root, 'bin/cvm'), ['measure', ...boot, ...ours, '--json']);
      const printed = await Promise.all(theirs.map((each) => upstreamPrints([...each, ...boot])));
      expect(JSON.parse(stdout)).toMatchObject({
        digests: printed.map((digest, index) => ({ ...fields[index], ...digest })),
      });
    });
  });
});
