/** Names of the SEV_FEATURES bits (AMD APM volume 2, appendix B, table B-4). */
const names: Readonly<Record<number, string>> = {
  0: 'SNPActive',
  1: 'vTOM',
  2: 'ReflectVC',
  3: 'RestrictedInjection',
  4: 'AlternateInjection',
  5: 'DebugSwap',
  6: 'PreventHostIBS',
  7: 'BTBIsolation',
  8: 'VmplSSS',
  9: 'SecureTSC',
  10: 'VmgexitParameter',
  12: 'IbsVirtualization',
  14: 'VmsaRegProt',
  15: 'SmtProtection',
};

interface Advice {
  cause: string;
  remedy: string;
}

/** What is known of how a bit gets switched on, and how to have it off. */
const known: Readonly<Record<number, Advice>> = {
  5: {
    cause: "the host's kernel switched on DebugSwap",
    remedy: 'start kvm_amd with debug_swap=0',
  },
  9: { cause: 'the VMM asked for SecureTSC', remedy: 'start the VM without secure-tsc' },
};

/** Why SEV_FEATURES is what was found in place of what was measured, and what to do. */
export function featuresAdvice(expected: bigint, found: bigint): Advice {
  if ((found & 1n) === 0n && (expected & 1n) === 1n) {
    return {
      cause: 'SNPActive is missing, so this is no digest of a running SEV-SNP guest',
      remedy: 'have the digest computed for SEV-SNP',
    };
  }
  const bits = Array.from({ length: 64 }, (_, bit) => bit);
  const isIn = (value: bigint) => (bit: number) => ((value >> BigInt(bit)) & 1n) === 1n;
  const on = bits.filter(isIn(found & ~expected));
  const off = bits.filter(isIn(expected & ~found));
  const advice = [
    ...on.map((bit) => known[bit] ?? unknown(bit)),
    ...(off.length === 0 ? [] : [missing(off.map(nameOf).join(', '))]),
  ];
  const join = (part: keyof Advice) => advice.map((each) => each[part]).join(' and ');
  return { cause: join('cause'), remedy: join('remedy') };
}

const nameOf = (bit: number) => names[bit] ?? `bit ${bit}`;

const unknown = (bit: number): Advice => ({
  cause: `the host switched on ${nameOf(bit)} of SEV_FEATURES`,
  remedy: `start the VM without ${nameOf(bit)}, or measure the bundle with it`,
});

const missing = (features: string): Advice => ({
  cause: `the host does not switch on ${features}`,
  remedy: `switch on ${features}, or measure the bundle without`,
});
