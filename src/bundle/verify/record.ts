import type { Manifest } from '../manifest.ts';
import { changingFiles, hashedFiles } from '../names.ts';
import type { Check, ExaminedBundle, Finding } from './finding.ts';

/** What the administrator's own side knows of an image: the part of its record that a bundle can be held against. */
export interface AdminRecord {
  id: string;
  kind: string;
  resourcePath: string;
  digests: readonly {
    vcpus: number;
    cpu: string;
    guestFeatures: string;
    firmwareSha256: string;
    /** Lower-case. */
    hex: string;
  }[];
  /** By file name: lower-case SHA-256. Absent in records of earlier builders. */
  files?: Readonly<Record<string, string>> | undefined;
}

/** Files that stay as they were built; the others are drives that a VM writes to. */
const unchangingFiles = hashedFiles.filter((name) => !changingFiles.has(name));

/** What a record keeps of a bundle's files: the SHA-256 of each that stays as it was built, by its name. */
export function recordedFiles({ files }: Pick<Manifest, 'files'>): Record<string, string> {
  return Object.fromEntries(unchangingFiles.map((name) => [name, files[name].sha256]));
}

/**
 * The manifest against the administrator's record: a host that rewrites manifest and bundle together makes them agree
 * with each other, and not with this. Without a record it notes what that leaves open.
 */
export function recordCheck(record: AdminRecord | undefined): Check {
  return {
    name: 'hand-off record',
    run: ({ manifest, files }) =>
      record === undefined ? [ownWord] : [...compareRecord(record, manifest), ...compareFiles(record, files)],
  };
}

const ownWord: Finding = {
  subject: 'manifest.json',
  severity: 'not checked',
  text: "is the bundle's own word: a host could have rewritten it with the bundle; --handoff compares the administrator's record",
};

function compareRecord(record: AdminRecord, manifest: Manifest): Finding[] {
  const { launch, firmware, kbs } = manifest;
  const of = (values: readonly (string | number)[]) => [...new Set(values)].join(', ');
  const ofRecord = <K extends keyof AdminRecord['digests'][number]>(key: K) =>
    of(record.digests.map((digest) => digest[key]));
  const shape = [
    ['id', record.id, manifest.id],
    ['kind', record.kind, manifest.kind],
    ['resource path', record.resourcePath, kbs.resource],
    ['vCPUs', ofRecord('vcpus'), of(launch.digests.map(({ vcpus }) => vcpus))],
    ['CPU model', ofRecord('cpu'), launch.cpu],
    ['guest features', ofRecord('guestFeatures'), launch.guest_features],
    ['firmware', ofRecord('firmwareSha256'), firmware.sha256],
  ] as const;
  const findings = shape.flatMap(([subject, expected, found]) => differs(subject, expected, found));
  const wrong = launch.digests.flatMap(({ vcpus, hex }) => {
    const recorded = record.digests.find((digest) => digest.vcpus === vcpus);
    return recorded === undefined || recorded.hex === hex
      ? []
      : [{ vcpus, expected: recorded.hex, found: hex }];
  });
  const [first] = wrong;
  if (first === undefined) return findings;
  const explained = findings.some(({ subject }) => measured.has(subject));
  const cause = explained
    ? ''
    : ': kernel, initrd or command line were replaced, and manifest.json with them';
  const counts = wrong.map(({ vcpus }) => vcpus).join(', ');
  return [
    ...findings,
    {
      ...differs('launch digests', first.expected, first.found)[0]!,
      text: `are not those of the administrator's record for ${counts} vCPUs${cause}`,
      consequence: 'the key broker releases no key',
    },
  ];
}

/** What lies in the folder, whatever the manifest says of it. */
function compareFiles({ files: recorded = {} }: AdminRecord, files: ExaminedBundle['files']): Finding[] {
  const findings = Object.entries(recorded).flatMap(([subject, sha256]): Finding[] => {
    const file = files.get(subject);
    if (file?.state !== 'read') {
      const text = "is in the administrator's record and is missing or no regular file";
      return [{ subject, severity: 'failure', text }];
    }
    if (file.sha256 === sha256) return [];
    const text = "is not the file of the administrator's record";
    const [expected, found] = [`SHA-256 ${sha256}`, `SHA-256 ${file.sha256}`];
    return [{ subject, severity: 'failure', text, expected, found }];
  });
  const unlisted = unchangingFiles.filter((name) => !Object.hasOwn(recorded, name));
  if (unlisted.length === 0) return findings;
  const text = `lists no SHA-256 of ${unlisted.join(', ')}: for what no launch digest covers there, manifest.json is the bundle's own word`;
  return [...findings, { subject: 'hand-off record', severity: 'not checked', text }];
}

/** Subjects that enter the launch digest. */
const measured = new Set(['CPU model', 'guest features', 'firmware']);

function differs(subject: string, expected: string, found: string): Finding[] {
  if (expected === found) return [];
  const text = "is not that of the administrator's record";
  return [{ subject, severity: 'failure', text, file: 'manifest.json', expected, found }];
}
