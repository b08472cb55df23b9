import type { Vmm } from '../../../src/measure/index.ts';

/** Inputs of one launch digest, in the terms of both programs. */
export interface Case {
  title: string;
  mode: 'snp' | 'snp:ovmf-hash' | 'seves' | 'sev';
  vmm: Vmm;
  vcpus: number;
  /** A model's name, `0x<signature>`, or `<family>/<model>/<stepping>`. */
  cpu: string;
  /** SEV_FEATURES as `0x<hex>`. */
  features: string;
  kernel: boolean;
  initrd: boolean;
  /** Undefined is no `-append` at all. */
  append: string | undefined;
  /** Starts from the firmware's own digest in place of its bytes. */
  seeded: boolean;
}

/** All combinations that are compared, on one kernel, initrd and firmware. */
export function cases(commandLine: string): Case[] {
  const usual: Omit<Case, 'title'> = {
    mode: 'snp',
    vmm: 'qemu',
    vcpus: 2,
    cpu: 'EPYC-v4',
    features: '0x1',
    kernel: true,
    initrd: true,
    append: commandLine,
    seeded: false,
  };
  const noKernel = { kernel: false, initrd: false, append: undefined };
  const of = (title: string, other: Partial<Case>): Case => ({ ...usual, ...other, title });
  const each = <T>(values: readonly T[], make: (value: T) => Case): Case[] => values.map(make);

  const commandLines: [string, string | undefined][] = [
    ['empty', ''],
    ['none', undefined],
    ['of one letter', 'x'],
    ['in UTF-8', 'vm_id=grün opt=配置 🔒'],
    ['in decomposed Unicode', 'vm_id=gru\u0308n'],
    ['with a trailing newline', `${commandLine}\n`],
    ['with blanks around it', `  ${commandLine}\t`],
    ['with quotes and backslashes', `opt="a b" c='d' e=\\n`],
    ['with one parameter more', `${commandLine} init=/bin/sh`],
    ['of 5000 letters', 'a'.repeat(5000)],
  ];

  return [
    ...each([1, 2, 3, 4, 8, 16, 64, 128, 255, 512], (vcpus) => of(`${vcpus} vCPUs`, { vcpus })),
    ...each(
      [
        'EPYC',
        'EPYC-IBPB',
        'EPYC-Rome',
        'EPYC-Rome-v3',
        'EPYC-Milan',
        'EPYC-Milan-v2',
        'EPYC-Genoa',
        'EPYC-Turin',
      ],
      (cpu) => of(`CPU ${cpu}`, { cpu }),
    ),
    ...each(['0x0', '0x800f12', '0xa10f11', '0xffffffff'], (cpu) => of(`CPU signature ${cpu}`, { cpu })),
    ...each(['23/49/0', '25/17/1', '26/2/1', '6/143/8', '15/255/15', '270/1/2'], (cpu) =>
      of(`CPU family/model/stepping ${cpu}`, { cpu }),
    ),
    ...each(['0x0', '0x5', '0x21', '0x201', '0x4000', '0xffffffffffffffff'], (features) =>
      of(`guest features ${features}`, { features }),
    ),
    ...each(commandLines, ([name, append]) => of(`a command line ${name}`, { append })),
    of('no initrd', { initrd: false }),
    of('neither initrd nor command line', { initrd: false, append: undefined }),
    of('no kernel', noKernel),
    of('no kernel, 64 vCPUs, EPYC-Milan', { ...noKernel, vcpus: 64, cpu: 'EPYC-Milan' }),
    ...each(['ec2', 'gce'] as const, (vmm) => of(`${vmm}, 1 vCPU`, { vmm, vcpus: 1 })),
    ...each(['ec2', 'gce'] as const, (vmm) => of(`${vmm}, 8 vCPUs`, { vmm, vcpus: 8 })),
    ...each(['ec2', 'gce'] as const, (vmm) => of(`${vmm}, features 0x21`, { vmm, features: '0x21' })),
    ...each(['ec2', 'gce'] as const, (vmm) => of(`${vmm}, no kernel`, { vmm, ...noKernel })),
    of('the firmware alone', { mode: 'snp:ovmf-hash' }),
    of('from a digest of the firmware', { seeded: true, vcpus: 3 }),
    of('from a digest of the firmware, no kernel', { seeded: true, ...noKernel }),
    ...each([1, 2, 64], (vcpus) => of(`SEV-ES, ${vcpus} vCPUs`, { mode: 'seves', vcpus })),
    of('SEV-ES, EPYC-Genoa', { mode: 'seves', cpu: 'EPYC-Genoa' }),
    of('SEV-ES, no initrd', { mode: 'seves', initrd: false }),
    of('SEV-ES, no kernel', { mode: 'seves', ...noKernel }),
    of('SEV', { mode: 'sev' }),
    of('SEV, no command line', { mode: 'sev', append: undefined }),
    of('SEV, no kernel', { mode: 'sev', ...noKernel }),
  ];
}
