import {
  type BlobHashes,
  type Firmware,
  firmwareDigest,
  hashCommandLine,
  type Launch,
  MeasurementError,
  sharedDigest,
  vcpuDigests,
} from '../measure/index.ts';
import type { Assumptions } from './assumptions.ts';

const pageSize = 4096;

/** Computes the launch digests of many assumptions; each firmware and each beginning in common is hashed once. */
export class Measurer {
  readonly #firmware = new Map<string, Buffer>();
  readonly #shared = new Map<string, Buffer | undefined>();
  /** A number for each command line: the keys of thousands of beginnings stay short. */
  readonly #commandLines = new Map<string, number>();
  #sharedPages = 0;

  /** Pages hashed so far, but for those of vCPUs. */
  get sharedPages(): number {
    return this.#sharedPages;
  }

  /** The launch digests for 1, 2, … vCPUs up to `most`; none where no VM could start so. */
  *digests(assumptions: Assumptions, most: number): Generator<Buffer> {
    const { firmware, vmm, fpuState, cpu, guestFeatures } = assumptions;
    const { image } = firmware;
    if (image?.resetAddress === undefined) return;
    const shared = this.#sharedDigest(assumptions, image);
    if (shared === undefined) return;
    const shape = { signature: cpu.signature, features: guestFeatures };
    // Without an address for the others to start at, only one vCPU can.
    yield* vcpuDigests(
      shared,
      { firmware: image, vmm, fpuState },
      shape,
      image.resetAddress === 0 ? 1 : most,
    );
  }

  /** Undefined where the firmware could not start this way. */
  #sharedDigest(assumptions: Assumptions, image: Firmware): Buffer | undefined {
    const { vmm, kernelHashes, kernel, initrd, commandLine } = assumptions;
    const blobs =
      kernelHashes === 'off' ? [] : [kernel.sha256, initrd.sha256, this.#numberOf(commandLine.text)];
    const key = [image.sha256, vmm, ...blobs].join('\0');
    if (this.#shared.has(key)) return this.#shared.get(key);
    const launch: Launch = { firmware: image, vmm, firmwareDigest: this.#firmwareDigest(image) };
    this.#sharedPages += image.sections.reduce((sum, { size }) => sum + size / pageSize, 0);
    let shared: Buffer | undefined;
    try {
      shared = sharedDigest(kernelHashes === 'off' ? launch : { ...launch, blobs: blobsOf(assumptions) });
    } catch (error) {
      // Firmware that checks no kernel hashes: QEMU refuses kernel-hashes=on with it.
      if (!(error instanceof MeasurementError)) throw error;
    }
    this.#shared.set(key, shared);
    return shared;
  }

  #numberOf(commandLine: string): number {
    const number = this.#commandLines.get(commandLine) ?? this.#commandLines.size;
    this.#commandLines.set(commandLine, number);
    return number;
  }

  #firmwareDigest(image: Firmware): Buffer {
    const known = this.#firmware.get(image.sha256);
    if (known !== undefined) return known;
    const digest = firmwareDigest(image);
    this.#firmware.set(image.sha256, digest);
    this.#sharedPages += image.size / pageSize;
    return digest;
  }
}

function blobsOf({ kernel, initrd, commandLine }: Assumptions): BlobHashes {
  return {
    kernel: Buffer.from(kernel.sha256, 'hex'),
    initrd: Buffer.from(initrd.sha256, 'hex'),
    commandLine: hashCommandLine(commandLine.text),
  };
}
