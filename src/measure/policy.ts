/** Guest policy bits that have a name here; SEV-SNP firmware ABI (AMD 56860), "Guest Policy Structure". */
export const policyBits = {
  smt: 16,
  /** Must be one. */
  reserved: 17,
  migrationAgent: 18,
  debug: 19,
  singleSocket: 20,
  cxl: 21,
  aes256Xts: 22,
  raplOff: 23,
  ciphertextHiding: 24,
  pageSwapOff: 25,
} as const;

/** SMT allowed, reserved bit set, nothing else: QEMU's default. */
export const defaultPolicy = 0x30000n;

/** True where a policy has the named bit. */
export function hasPolicyBit(policy: bigint, bit: keyof typeof policyBits): boolean {
  return ((policy >> BigInt(policyBits[bit])) & 1n) === 1n;
}

/** The lowest version of the firmware's ABI that a guest with this policy starts under. */
export function policyAbi(policy: bigint): { major: number; minor: number } {
  return { major: Number((policy >> 8n) & 0xffn), minor: Number(policy & 0xffn) };
}
