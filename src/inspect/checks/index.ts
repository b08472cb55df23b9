import type { BundleSource, VerifyOptions } from '../../bundle/index.ts';
import type { Secret } from '../../host/secret.ts';
import { readSitePart } from '../initrd/read.ts';
import { lookInside } from '../inside.ts';
import { drivesCheck } from './drives.ts';
import { keyMaterial, unpackedInitrd } from './key-material.ts';
import { layoutCheck } from './layout.ts';
import { luksHeaderCheck } from './luks-header.ts';
import { payloadCheck } from './payload.ts';
import { policyCheck } from './policy.ts';
import { sealedCheck } from './sealed.ts';
import { startupKitCheck } from './startup-kit.ts';

export interface FurtherOptions {
  /** The disk key; without it the payload is not opened. */
  key?: Secret | undefined;
  /** Policy directory of the bundle's kind. */
  policyDirectory: string;
  signal?: AbortSignal | undefined;
  /** Told how many blocks of the payload were compared, and of how many. */
  progress?: ((done: number, total: number) => void) | undefined;
}

/** What `verifyBundle` is given to look inside as well: initrd, root drive, plain drives, key material, policy. */
export async function furtherVerification(
  source: BundleSource,
  { key, policyDirectory, signal, progress }: FurtherOptions,
): Promise<Pick<VerifyOptions, 'checks' | 'watch'>> {
  const inside = await lookInside(source, { key, signal });
  const material = keyMaterial(inside, key);
  const initrd = await source.file('initrd.img');
  if (typeof initrd !== 'string' && 'value' in inside.sealed) {
    const scanner = material.scannerOf(unpackedInitrd);
    const files = await readSitePart(initrd, { signal, onBytes: (bytes) => scanner.push(bytes) });
    for (const [name, content] of files) material.scannerOf(`initrd.img, /etc/cvm/${name}`).push(content);
  }
  return {
    watch: (name) => {
      const scanner = material.scannerOf(name);
      return (bytes) => scanner.push(bytes);
    },
    checks: [
      sealedCheck(inside),
      layoutCheck(inside),
      luksHeaderCheck(inside),
      payloadCheck(inside, { progress }),
      drivesCheck,
      startupKitCheck(inside),
      material.check,
      policyCheck(policyDirectory),
    ],
  };
}
