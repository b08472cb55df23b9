import { describe, expect, it } from 'vitest';
import { diagnose, diagnosisLines, type Sources } from '../../../src/diagnose/index.ts';
import { noInitrdHash, parseFirmware } from '../../../src/measure/index.ts';
import { firmwareImage } from '../measure/firmware-image.ts';
import { ovmfX64Fixture } from '../measure/vectors.ts';
import {
  blobs,
  cmdline,
  diagnosed,
  firmware,
  manifest,
  manifestFor,
  measuredCounts,
  ownSources,
  sha256,
  startedWith,
} from './bundle.ts';

const otherImage = firmwareImage();
otherImage[100] = 1;
const otherFirmware = parseFirmware(otherImage);
const kernelHash = (text: string) => Buffer.from(sha256(text), 'hex');
const zen5 = { family: 26, model: 2, stepping: 1 };

describe('a digest of the bundle as built', () => {
  it.each(measuredCounts)('is told with its %i vCPUs', async (vcpus) => {
    const diagnosis = await diagnosed(startedWith({}, { vcpus }));
    expect(diagnosis).toMatchObject({ outcome: 'as-built', vcpus, differences: [], contradicted: [] });
    expect(diagnosisLines(diagnosis, manifest)).toEqual([
      `is the launch digest of this bundle with ${vcpus} vCPUs of EPYC-v4`,
    ]);
  });
});

describe('one difference', () => {
  const without = cmdline.replace(' lockdown=integrity', '');
  const cases: [string, Buffer, string, RegExp, Partial<Sources>?][] = [
    [
      'guest features',
      startedWith({}, { features: 0x21n }),
      'guestFeatures',
      /^matches guest features 0x21 instead of 0x1: the host's kernel switched on DebugSwap: start kvm_amd with debug_swap=0$/,
    ],
    [
      'SecureTSC',
      startedWith({}, { features: 0x201n }),
      'guestFeatures',
      /0x201 instead of 0x1: .*SecureTSC/,
    ],
    [
      'an odd feature bit',
      startedWith({}, { features: 0x4001n }),
      'guestFeatures',
      /0x4001 .*VmsaRegProt of SEV_FEATURES/,
    ],
    ['an unnamed one', startedWith({}, { features: 0x2_0000_0001n }), 'guestFeatures', /bit 33/],
    ['no SNPActive', startedWith({}, { features: 0n }), 'guestFeatures', /0x0 instead of 0x1: SNPActive/],
    [
      'a CPU model',
      startedWith({}, { signature: 0xa00f11 }),
      'cpu',
      /CPU model EPYC-Milan .*EPYC-Milan-v2.* instead of EPYC-v4 .*-cpu EPYC-Milan:/,
    ],
    [
      "the report's own CPU",
      startedWith({}, { signature: 0xb00f21 }),
      'cpu',
      /CPU model host .*-cpu host, the machine's own CPU/,
      { hostCpu: zen5 },
    ],
    [
      "launch_vm.sh's edited CPU",
      startedWith({}, { signature: 0x800f22 }),
      'cpu',
      /CPU model EPYC,model=2 /,
      { script: { cpu: 'EPYC,model=2' } },
    ],
    ['kernel hashes off', startedWith({ blobs: undefined }), 'kernelHashes', /kernel-hashes=off/],
    ['an old host', startedWith({ fpuState: 'zero' }), 'fpuState', /^matches an FPU state of zeros .*6\.11/],
    ['its APs', startedWith({ fpuState: 'zero-on-aps' }), 'fpuState', /all vCPUs but the first/],
    ['EC2', startedWith({ vmm: 'ec2' }), 'vmm', /Amazon EC2/],
    ['GCE', startedWith({ vmm: 'gce' }), 'vmm', /Google GCE/],
    [
      'other firmware',
      startedWith({ firmware: otherFirmware }),
      'firmware',
      /firmware "\/tmp\/other\.fd"/,
      {
        firmware: [
          ...ownSources.firmware,
          { image: otherFirmware, origin: { kind: 'offered', name: '/tmp/other.fd' } },
        ],
      },
    ],
    [
      "the folder's kernel",
      startedWith({ blobs: { ...blobs, kernel: kernelHash('evil') } }),
      'kernel',
      /vmlinuz as it is in the folder now .*replaced/,
      { kernels: [{ sha256: sha256('evil'), origin: { kind: 'folder' } }] },
    ],
    [
      'an offered initrd',
      startedWith({ blobs: { ...blobs, initrd: kernelHash('mine') } }),
      'initrd',
      /-initrd "mine\.img"/,
      { initrds: [{ sha256: sha256('mine'), origin: { kind: 'offered', name: 'mine.img' } }] },
    ],
    ['no initrd', startedWith({ blobs: { ...blobs, initrd: noInitrdHash } }), 'initrd', /^matches no initrd/],
    ['no command line', startedWith({ commandLine: '' }), 'commandLine', /empty command line/],
    [
      'a parameter less',
      startedWith({ commandLine: without }),
      'commandLine',
      /without "lockdown=integrity"/,
    ],
    ['a newline', startedWith({ commandLine: `${cmdline}\n` }), 'commandLine', /newline at its end/],
    ['a blank', startedWith({ commandLine: `${cmdline} ` }), 'commandLine', /blank at its end/],
    [
      '/proc/cmdline',
      startedWith({ commandLine: `${cmdline} initrd=initrd` }),
      'commandLine',
      /\/proc\/cmdline/,
    ],
    [
      '/proc/cmdline of newer firmware',
      startedWith({ commandLine: `initrd=initrd ${cmdline}` }),
      'commandLine',
      /\/proc\/cmdline/,
    ],
    [
      'a shell',
      startedWith({ commandLine: `${cmdline} init=/bin/sh` }),
      'commandLine',
      /"init=\/bin\/sh" added .*shell inside/,
    ],
    [
      'nr_cpus',
      startedWith({ commandLine: `${cmdline} nr_cpus=8` }),
      'commandLine',
      /"nr_cpus=8" .*orchestrator/,
    ],
    [
      'an edited launch_vm.sh',
      startedWith({ commandLine: 'a b' }),
      'commandLine',
      /launch_vm\.sh was edited/,
      { script: { cmdline: 'a b' } },
    ],
    [
      'an offered command line',
      startedWith({ commandLine: 'a b' }),
      'commandLine',
      /this -append/,
      { commandLines: ['c', 'a b'] },
    ],
  ];

  it.each(cases)('%s is found and named', async (_name, digest, dimension, words, sources = {}) => {
    const diagnosis = await diagnosed(digest, sources);
    expect(diagnosis).toMatchObject({ outcome: 'differs', vcpus: 8, differences: [{ dimension }] });
    expect(diagnosis.differences).toHaveLength(1);
    const [line, ...others] = diagnosisLines(diagnosis, manifest);
    expect(line).toMatch(words);
    expect(others).toEqual([]);
  });

  it('an unmeasured vCPU count is found and named', async () => {
    const one = manifestFor([16]);
    const diagnosis = await diagnose({ manifest: one, sources: ownSources, digest: startedWith() });
    expect(diagnosis).toMatchObject({
      outcome: 'differs',
      vcpus: 8,
      differences: [{ dimension: 'vcpus', expected: [16], found: 8 }],
    });
    expect(diagnosisLines(diagnosis, one)[0]).toMatch(
      /^matches 8 vCPUs instead of 16: launch_vm\.sh was started with -c 8/,
    );
  });

  it.each([1, 2, 511, 512])('of %i vCPUs is within the search', async (vcpus) => {
    const diagnosis = await diagnosed(startedWith({}, { vcpus }));
    expect(diagnosis).toMatchObject({ outcome: 'differs', differences: [{ found: vcpus }] });
    expect(diagnosisLines(diagnosis, manifest)[0]).toContain('instead of a measured count (4, 8, 16)');
  });
});

describe('several differences', { timeout: 60_000 }, () => {
  it.each<[string, Buffer, string[]]>([
    [
      'an old host: DebugSwap and no FPU state',
      startedWith({ fpuState: 'zero' }, { features: 0x21n }),
      ['fpuState', 'guestFeatures'],
    ],
    [
      'an odd bit and an edited command line',
      startedWith({ commandLine: `${cmdline} quiet` }, { features: 0x81n }),
      ['guestFeatures', 'commandLine'],
    ],
    ['a CPU model and a count', startedWith({}, { signature: 0xa10f10, vcpus: 3 }), ['cpu', 'vcpus']],
    ['no kernel hashes on EC2', startedWith({ vmm: 'ec2', blobs: undefined }), ['vmm', 'kernelHashes']],
    [
      'three and a count',
      startedWith({ fpuState: 'zero', commandLine: `${cmdline} nr_cpus=2` }, { features: 0x21n, vcpus: 2 }),
      ['fpuState', 'guestFeatures', 'commandLine', 'vcpus'],
    ],
  ])('are all found: %s', async (_name, digest, dimensions) => {
    const diagnosis = await diagnosed(digest);
    expect(diagnosis.outcome).toBe('differs');
    expect(diagnosis.differences.map(({ dimension }) => dimension)).toEqual(dimensions);
    const lines = diagnosisLines(diagnosis, manifest);
    expect(lines[0]).toContain(`${dimensions.length} differences:`);
    expect(lines).toHaveLength(1 + dimensions.length);
  });

  it('are not made of more than is needed', async () => {
    // One vCPU has no APs, so their FPU state is no difference.
    const diagnosis = await diagnosed(startedWith({ fpuState: 'zero-on-aps' }, { vcpus: 1 }));
    expect(diagnosis.differences.map(({ dimension }) => dimension)).toEqual(['vcpus']);
  });
});

describe('no match', () => {
  it('says what was tried', { timeout: 60_000 }, async () => {
    const diagnosis = await diagnosed(Buffer.alloc(48, 7));
    expect(diagnosis).toMatchObject({ outcome: 'no-match', vcpus: undefined, differences: [] });
    expect(diagnosis.tried).toMatchObject({ vcpus: 512, differences: 3, complete: true });
    expect(diagnosis.tried.digests).toBeGreaterThan(1_000_000);
    const text = diagnosisLines(diagnosis, manifest).join('\n');
    expect(text).toMatch(/^matches nothing that was tried\n.*guest features 66; 1 to 512 vCPUs/);
    expect(text).toContain(`${diagnosis.tried.digests}`);
    expect(text).toContain('--ovmf');
    expect(text).not.toContain('search was ended');
  });

  it('comes soon where the search may not go on, and says so', async () => {
    const digest = Buffer.alloc(48, 7);
    const diagnosis = await diagnose({ manifest, sources: ownSources, digest, mostPages: 5000 });
    expect(diagnosis.tried.complete).toBe(false);
    expect(diagnosis.tried.digests).toBeLessThan(6000);
    expect(diagnosisLines(diagnosis, manifest).join('\n')).toContain('search was ended');
  });

  it('can be interrupted', async () => {
    const controller = new AbortController();
    const running = diagnose({
      manifest,
      sources: ownSources,
      digest: Buffer.alloc(48),
      signal: controller.signal,
    });
    controller.abort(new Error('stop'));
    await expect(running).rejects.toThrow('stop');
  });
});

describe('what a hostile host may have done', () => {
  it('an edited manifest does not make a digest the bundle’s own', async () => {
    const forged = manifestFor();
    const evil = startedWith({ commandLine: `${cmdline} rd.break` });
    forged.launch.digests[1]!.hex = evil.toString('hex');
    const diagnosis = await diagnose({ manifest: forged, sources: ownSources, digest: evil });
    expect(diagnosis).toMatchObject({ outcome: 'differs', contradicted: [8] });
    expect(diagnosisLines(diagnosis, forged).join('\n')).toMatch(
      /"rd\.break".*\n.*manifest\.json was edited/,
    );
  });

  it('without its firmware the manifest’s list is used, and said to be all there is', async () => {
    const sources = { ...ownSources, firmware: [] };
    const diagnosis = await diagnose({ manifest, sources, digest: startedWith() });
    expect(diagnosis).toMatchObject({ outcome: 'as-built', vcpus: 8, recomputed: false });
    expect(diagnosisLines(diagnosis, manifest)[1]).toContain('the word of manifest.json alone');
    const other = await diagnose({ manifest, sources, digest: startedWith({}, { features: 0x21n }) });
    expect(other.outcome).toBe('no-match');
    expect(diagnosisLines(other, manifest).join('\n')).toContain('offer it with --ovmf');
  });

  it('takes the measured firmware from wherever it is', async () => {
    const sources: Sources = {
      ...ownSources,
      firmware: [
        { image: otherFirmware, origin: { kind: 'folder' } },
        { image: firmware, origin: { kind: 'machine', name: 'base_images/' } },
      ],
    };
    const asBuilt = await diagnose({ manifest, sources, digest: startedWith() });
    expect(asBuilt).toMatchObject({ outcome: 'as-built', recomputed: true });
    const swapped = await diagnose({ manifest, sources, digest: startedWith({ firmware: otherFirmware }) });
    expect(diagnosisLines(swapped, manifest)[0]).toMatch(/OVMF\.amdsev\.fd as it is in the folder now/);
  });

  it('firmware that cannot check kernel hashes, or start APs, is no obstacle', async () => {
    const generic = parseFirmware(ovmfX64Fixture(), { target: 'any' });
    const sources: Sources = {
      ...ownSources,
      firmware: [...ownSources.firmware, { image: generic, origin: { kind: 'offered', name: 'generic.fd' } }],
    };
    const digest = startedWith({ firmware: generic, blobs: undefined });
    const diagnosis = await diagnose({ manifest, sources, digest });
    expect(diagnosis.differences.map(({ dimension }) => dimension)).toEqual(['firmware', 'kernelHashes']);
  });

  it('no text of it reaches the terminal raw', async () => {
    const evil = 'a\u001b[2J\u202e\u009b0m\nb';
    for (const sources of [{ script: { cmdline: evil } }, { commandLines: [evil] }]) {
      const diagnosis = await diagnosed(startedWith({ commandLine: evil }), sources);
      expect(diagnosis.outcome).toBe('differs');
      expect(diagnosisLines(diagnosis, manifest).join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
    const cpu = await diagnosed(startedWith({}, { signature: 0x800f22 }), {
      script: { cpu: 'EPYC,model=2,x=\u001b[2J' },
    });
    expect(cpu.outcome).toBe('differs');
    expect(diagnosisLines(cpu, manifest).join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  it('values that cannot be measured are passed over', async () => {
    const sources = {
      script: { cmdline: 'a\0b', cpu: 'host' },
      commandLines: ['\ud800'],
      hostCpu: { family: 255, model: 255, stepping: 255 },
    };
    expect((await diagnosed(startedWith(), sources)).outcome).toBe('as-built');
  });
});
