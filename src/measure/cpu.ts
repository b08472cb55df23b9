import { hex, MeasurementError } from './error.ts';

/** What a CPU calls itself; display values, extended parts already added. */
export interface CpuIdentity {
  family: number;
  model: number;
  stepping: number;
}

const epyc: CpuIdentity = { family: 23, model: 1, stepping: 2 };
const rome: CpuIdentity = { family: 23, model: 49, stepping: 0 };
const milan: CpuIdentity = { family: 25, model: 1, stepping: 1 };
const genoa: CpuIdentity = { family: 25, model: 17, stepping: 0 };
const turin: CpuIdentity = { family: 26, model: 0, stepping: 0 };
const dhyana: CpuIdentity = { family: 24, model: 0, stepping: 1 };

const versions = (name: string, count: number): string[] => [
  name,
  ...Array.from({ length: count }, (_, index) => `${name}-v${index + 1}`),
];

/**
 * QEMU's `-cpu` names with what they report, as QEMU 11.1 does. `Dhyana` (Hygon) is here because QEMU
 * knows it, though no such processor has SNP.
 */
export const cpuModels: ReadonlyMap<string, CpuIdentity> = new Map(
  [
    { names: [...versions('EPYC', 5), 'EPYC-IBPB'], identity: epyc },
    { names: versions('EPYC-Rome', 5), identity: rome },
    { names: versions('EPYC-Milan', 4), identity: milan },
    { names: versions('EPYC-Genoa', 3), identity: genoa },
    { names: versions('EPYC-Turin', 2), identity: turin },
    { names: versions('Dhyana', 2), identity: dhyana },
  ].flatMap(({ names, identity }) => names.map((name) => [name, identity] as const)),
);

/** Models that report whatever machine they run on, so that no digest can be predicted. */
const unpredictable = new Set(['host', 'max', 'base']);

/**
 * CPUID Fn0000_0001_EAX: stepping 3:0, base model 7:4, base family 11:8, extended model 19:16, extended
 * family 27:20 (AMD APM volume 3, appendix E.3.2).
 * @throws MeasurementError for values the register cannot hold.
 */
export function cpuSignature({ family, model, stepping }: CpuIdentity): number {
  const limits = { family: [family, 0xf + 0xff], model: [model, 0xff], stepping: [stepping, 0xf] } as const;
  for (const [name, [value, limit]] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 0 || value > limit) {
      throw new MeasurementError(
        `cannot encode CPU ${name} ${value}: expected a whole number from 0 to ${limit}`,
      );
    }
  }
  const extendedFamily = family > 0xf ? family - 0xf : 0;
  const baseFamily = Math.min(family, 0xf);
  return (
    ((extendedFamily << 20) | ((model >> 4) << 16) | (baseFamily << 8) | ((model & 0xf) << 4) | stepping) >>>
    0
  );
}

/**
 * The signature that a virtual CPU reports.
 * @param cpu a `-cpu` argument (`EPYC-v4`, `EPYC-Milan,model=2`; options other than family, model and
 *   stepping do not enter the digest), `family/model/stepping` in decimal (`25/1/1`), or the raw signature as `0x`
 *   and up to 8 hex digits
 * @throws MeasurementError for `host`, unknown names and values out of range.
 */
export function parseCpu(cpu: string): number {
  if (/^0x[0-9a-f]{1,8}$/i.test(cpu)) return Number.parseInt(cpu, 16);
  const triple = /^(\d{1,3})\/(\d{1,3})\/(\d{1,3})$/.exec(cpu);
  if (triple !== null) {
    const [family, model, stepping] = triple.slice(1).map(Number) as [number, number, number];
    return cpuSignature({ family, model, stepping });
  }
  const [name = '', ...options] = cpu.split(',');
  if (unpredictable.has(name)) {
    throw new MeasurementError(
      `cannot predict the launch digest for CPU model ${name}: its signature depends on the machine, expected a named model such as EPYC-v4`,
    );
  }
  const known = cpuModels.get(name);
  if (known === undefined) {
    throw new MeasurementError(
      `cannot find CPU model ${JSON.stringify(name)}: expected one of ${[...cpuModels.keys()].join(', ')}, family/model/stepping such as 23/1/2, or a signature such as ${hex(cpuSignature(epyc))}`,
    );
  }
  return cpuSignature({ ...known, ...identityOptions(options) });
}

function identityOptions(options: readonly string[]): Partial<CpuIdentity> {
  const found: Partial<CpuIdentity> = {};
  for (const option of options) {
    const [key, value = ''] = option.split('=', 2);
    if (key !== 'family' && key !== 'model' && key !== 'stepping') continue;
    if (found[key] !== undefined) {
      throw new MeasurementError(`cannot read CPU option ${option}: ${key} is given twice, expected once`);
    }
    if (!/^(0x[0-9a-f]{1,3}|0|[1-9]\d{0,2})$/i.test(value)) {
      throw new MeasurementError(`cannot read CPU option ${option}: expected ${key}=<number>`);
    }
    found[key] = Number(value);
  }
  return found;
}
