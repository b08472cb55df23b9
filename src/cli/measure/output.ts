import type { DigestRow, FirmwareVerdict, MeasuredStep } from '../../measure/index.ts';
import { oneLine } from '../../report/text.ts';
import type { IdSigner } from './id-blocks.ts';
import type { Subject } from './subject.ts';

/** All that the output is made of. */
export interface Measured {
  subject: Subject;
  rows: readonly DigestRow[];
  verdict: FirmwareVerdict;
  /** Undefined unless it is to be explained. */
  steps: readonly MeasuredStep[] | undefined;
  signer: IdSigner | undefined;
  warnings: readonly string[];
}

const hexOf = (value: number | bigint) => `0x${value.toString(16)}`;

/** For programs. What the mode does not measure is null. */
export function jsonOutput(measured: Measured) {
  const { subject, rows, verdict, steps, signer, warnings } = measured;
  const { firmware, blobs, commandLine } = subject;
  return {
    digests: rows.map((row) => {
      const signed = signer?.sign(row);
      return {
        mode: row.mode,
        vmm: row.vmm,
        vcpus: row.vcpus ?? null,
        cpu: row.cpu ?? null,
        guest_features: row.features === undefined ? null : hexOf(row.features),
        hex: row.digest.toString('hex'),
        base64: row.digest.toString('base64'),
        ...(signed && { id_block: signed.idBlock, id_auth: signed.idAuth }),
      };
    }),
    firmware: { sha256: firmware.sha256, bytes: firmware.size, ...verdict },
    kernel_sha256: blobs?.kernel.toString('hex') ?? null,
    initrd_sha256: blobs?.initrd.toString('hex') ?? null,
    command_line: blobs === undefined ? null : (commandLine ?? ''),
    ...(signer && { id_key_digest: signer.idKeyDigest, author_key_digest: signer.authorKeyDigest ?? null }),
    ...(steps && { steps: steps.map(jsonStep) }),
    warnings,
  };
}

function jsonStep({ stage, name, gpa, size, type, digest, variant }: MeasuredStep) {
  return {
    stage,
    name,
    address: hexOf(gpa),
    size,
    type,
    digest: digest.toString('hex'),
    ...(variant && {
      signature: variant.signature === undefined ? null : hexOf(variant.signature),
      guest_features: hexOf(variant.features),
    }),
  };
}

/** For people, without a final newline. */
export function textOutput(measured: Measured): string {
  const { subject, rows, signer, steps } = measured;
  const keys = [
    ...(signer ? [`ID key digest      ${signer.idKeyDigest}`] : []),
    ...(signer?.authorKeyDigest ? [`author key digest  ${signer.authorKeyDigest}`] : []),
  ];
  const signing = (row: DigestRow) => {
    if (signer === undefined) return [];
    const { idBlock, idAuth } = signer.sign(row);
    return [`  id-block  ${idBlock}`, `  id-auth   ${idAuth}`];
  };
  return [
    ...inputLines(measured),
    ...(steps === undefined ? [] : ['', ...explain(subject, steps)]),
    ...rows.flatMap((row) => [
      '',
      shapeOf(row),
      `  hex       ${row.digest.toString('hex')}`,
      `  base64    ${row.digest.toString('base64')}`,
      ...signing(row),
    ]),
    ...(keys.length === 0 ? [] : ['', ...keys]),
  ].join('\n');
}

function inputLines({ subject, verdict }: Measured): string[] {
  const { files, firmware, blobs, commandLine } = subject;
  const line = (name: string, text: string) => `${name.padEnd(14)}${oneLine(text)}`;
  const version = verdict.version === undefined ? '' : `${verdict.version}, `;
  const lines = [
    line('firmware', `${firmware.sha256}  ${files.firmware}`),
    line('', `${version}${verdict.verdict}: ${verdict.reason}`),
  ];
  if (blobs === undefined) return [...lines, line('kernel', 'not measured (kernel-hashes=off)')];
  return [
    ...lines,
    line('kernel', `${blobs.kernel.toString('hex')}  ${files.kernel}`),
    line('initrd', `${blobs.initrd.toString('hex')}  ${files.initrd ?? '(none)'}`),
    line('command line', JSON.stringify(commandLine ?? '')),
  ];
}

const vmmNames = { qemu: 'QEMU', ec2: 'EC2', gce: 'GCE' } as const;

function shapeOf({ mode, vmm, vcpus, cpu, features }: DigestRow): string {
  const parts = [
    mode,
    vmmNames[vmm],
    ...(vcpus === undefined ? [] : [`${vcpus} ${vcpus === 1 ? 'vCPU' : 'vCPUs'}`]),
    ...(cpu === undefined ? [] : [oneLine(cpu)]),
    ...(features === undefined ? [] : [`guest features ${hexOf(features)}`]),
  ];
  return parts.join(', ');
}

/** Every step in its order, each with the digest after its last page. */
function explain({ firmwareDigest, blobs }: Subject, steps: readonly MeasuredStep[]): string[] {
  const row = (name: string, address: string, size: string, type: string, digest: string) =>
    `${name.padEnd(18)}${address.padEnd(20)}${size.padStart(9)}  ${type.padEnd(11)}${digest}`;
  const start = firmwareDigest?.toString('hex') ?? '0'.repeat(96);
  const lines = [
    row('measured', 'address', 'bytes', 'page type', 'launch digest after it'),
    row(firmwareDigest === undefined ? 'start' : 'given firmware hash', '', '', '', start),
  ];
  for (const { stage, name, gpa, size, type, digest, variant } of steps) {
    if (stage === 'vmsa' && name === 'vCPU 0' && variant !== undefined) {
      const { signature, features } = variant;
      const model = signature === undefined ? '' : `signature ${hexOf(signature)}, `;
      lines.push(`save areas (VMSA) of vCPUs with ${model}SEV_FEATURES ${hexOf(features)}:`);
    }
    lines.push(row(name, hexOf(gpa), String(size), type, digest.toString('hex')));
    if (name === 'SNP_KERNEL_HASHES' && type === 'normal' && blobs !== undefined) {
      lines.push(
        `    command line  ${blobs.commandLine.toString('hex')}`,
        `    initrd        ${blobs.initrd.toString('hex')}`,
        `    kernel        ${blobs.kernel.toString('hex')}`,
      );
    }
  }
  return lines;
}
