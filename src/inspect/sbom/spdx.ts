import type { BundleSummary } from '../summary/summary.ts';
import { bomParts, type Component, uuidOf } from './parts.ts';

const unasserted = {
  downloadLocation: 'NOASSERTION',
  filesAnalyzed: false,
  licenseConcluded: 'NOASSERTION',
  licenseDeclared: 'NOASSERTION',
  copyrightText: 'NOASSERTION',
} as const;

const idOf = (reference: string) => `SPDXRef-${reference}`;

/** A bill of materials in SPDX 2.3 (ISO/IEC 5962), JSON. The same bundle, looked at with the same key, gives the same text. */
export function spdx(summary: BundleSummary): object {
  const { manifest } = summary;
  const parts = bomParts(summary);
  const name = `cvm_${manifest.id}`;
  const content = parts.flatMap(({ components }) => components.map(({ purl }) => purl)).join('\n');
  const related = (spdxElementId: string, relationshipType: string, relatedSpdxElement: string) => ({
    spdxElementId,
    relationshipType,
    relatedSpdxElement,
  });
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `https://spdx.org/spdxdocs/${name}-${uuidOf(`${manifest.id} ${content}`)}`,
    creationInfo: {
      created: manifest.created.replace(/\.\d+Z$/, 'Z'),
      creators: [`Tool: cvm-builder-${manifest.builder_version}`],
      comment: parts.map(({ remark }) => remark).join(' '),
    },
    packages: [
      { SPDXID: idOf('bundle'), name, versionInfo: manifest.created, ...unasserted },
      ...parts.map(({ reference, name: title, remark }) => ({
        SPDXID: idOf(reference),
        name: title,
        comment: remark,
        ...unasserted,
      })),
      ...parts.flatMap(({ components }) => components.map(packageOf)),
    ],
    relationships: [
      related('SPDXRef-DOCUMENT', 'DESCRIBES', idOf('bundle')),
      ...parts.map(({ reference }) => related(idOf('bundle'), 'CONTAINS', idOf(reference))),
      ...parts.flatMap(({ reference: whole, components }) =>
        components.map(({ reference }) => related(idOf(whole), 'CONTAINS', idOf(reference))),
      ),
    ],
  };
}

function packageOf({ reference, name, version, purl, source }: Component): object {
  return {
    SPDXID: idOf(reference),
    name,
    versionInfo: version,
    ...unasserted,
    ...(source === undefined ? {} : { sourceInfo: `built from source package ${source}` }),
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}
