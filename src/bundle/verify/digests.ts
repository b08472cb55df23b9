import {
  type Firmware,
  hashCommandLine,
  launchDigests,
  MeasurementError,
  parseCpu,
  parseFirmware,
} from '../../measure/index.ts';
import { isAsListed } from './files.ts';
import type { Check, ExaminedBundle, Finding } from './finding.ts';

const subject = 'launch digests';

/** What the launch digest is computed from, by the word for it. */
const measuredFiles = { firmware: 'OVMF.amdsev.fd', kernel: 'vmlinuz', initrd: 'initrd.img' } as const;

/**
 * Computes the launch digests of what lies in the folder, by the SHA-256 that each file was found to have, and compares
 * them with the manifest's. Where they differ it names the file that is the cause, or the manifest itself.
 */
export const digestsCheck: Check = {
  name: 'launch digests',
  run(bundle) {
    const { launch } = bundle.manifest;
    const changed = changedInputs(bundle);
    let digests: string[];
    try {
      digests = recompute(bundle);
    } catch (error) {
      if (!(error instanceof MeasurementError)) throw error;
      const cause = changed.length > 0 ? `; ${blame(changed)}` : '';
      return [{ subject, severity: 'failure', text: `cannot be computed again: ${error.message}${cause}` }];
    }
    const wrong = launch.digests.flatMap(({ vcpus, hex }, index) =>
      digests[index] === hex ? [] : [{ vcpus, expected: hex, found: digests[index]! }],
    );
    const [first] = wrong;
    if (first === undefined) return [];
    const cause = changed.length > 0 ? blame(changed) : blameManifest(wrong.length, launch.digests.length);
    const finding: Finding = {
      subject,
      severity: 'failure',
      text: `differ from manifest.json for ${list(wrong.map(({ vcpus }) => vcpus))} vCPUs: ${cause}`,
      expected: first.expected,
      found: first.found,
      consequence: 'the key broker releases no key',
    };
    return [wrong.length === 1 ? finding : { ...finding, details: [`shown for ${first.vcpus} vCPUs`] }];
  },
};

/** @throws MeasurementError for firmware or settings that cannot be measured. */
function recompute({ manifest, files }: ExaminedBundle): string[] {
  const { launch } = manifest;
  const hashOf = (name: string) => {
    const file = files.get(name);
    if (file?.state !== 'read') throw new MeasurementError(`cannot measure ${name}: there is no such file`);
    return Buffer.from(file.sha256, 'hex');
  };
  const blobs = {
    kernel: hashOf(measuredFiles.kernel),
    initrd: hashOf(measuredFiles.initrd),
    commandLine: hashCommandLine(launch.cmdline),
  };
  const variants = launch.digests.map(({ vcpus, cpu, guest_features }) => ({
    vcpus,
    signature: parseCpu(cpu),
    features: BigInt(guest_features),
  }));
  const digests = launchDigests({ firmware: firmwareOf(files), blobs }, variants);
  return digests.map((digest) => digest.toString('hex'));
}

/** The firmware in the folder. @throws MeasurementError where it is none. */
export function firmwareOf(files: ExaminedBundle['files']): Firmware {
  const file = files.get(measuredFiles.firmware);
  if (file?.state === 'read') return parseFirmware(file.start);
  throw new MeasurementError(`cannot measure ${measuredFiles.firmware}: there is no such file`);
}

function changedInputs({ manifest, files }: ExaminedBundle): string[] {
  return Object.entries(measuredFiles).flatMap(([what, name]) =>
    isAsListed(files.get(name), manifest.files[name]) ? [] : [what],
  );
}

function blame(changed: readonly string[]): string {
  return `the ${changed.join(' and the ')} changed`;
}

function blameManifest(wrong: number, all: number): string {
  const inputs = 'its digests, its command line, CPU model or guest features';
  const which = wrong < all ? 'these digests, or their vCPU counts' : inputs;
  return `firmware, kernel and initrd are those it lists, so manifest.json itself was edited (${which})`;
}

function list(counts: readonly number[]): string {
  return counts.length <= 16 ? counts.join(', ') : `${counts.slice(0, 16).join(', ')}, …`;
}
