import type { BundleSummary } from '../summary/summary.ts';
import { bomParts, uuidOf } from './parts.ts';

/** A bill of materials in CycloneDX 1.6 (ECMA-424), JSON. The same bundle, looked at with the same key, gives the same text. */
export function cyclonedx(summary: BundleSummary): object {
  const { manifest } = summary;
  const parts = bomParts(summary);
  const content = parts.flatMap(({ components }) => components.map(({ purl }) => purl)).join('\n');
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(`${manifest.id} ${content}`)}`,
    version: 1,
    metadata: {
      timestamp: manifest.created,
      tools: {
        components: [{ type: 'application', name: 'cvm-builder', version: manifest.builder_version }],
      },
      component: {
        type: 'platform',
        'bom-ref': 'bundle',
        name: `cvm_${manifest.id}`,
        version: manifest.created,
      },
    },
    components: parts.map(({ reference, name, remark, components }) => ({
      type: reference === 'base' ? 'operating-system' : 'container',
      'bom-ref': reference,
      name,
      description: remark,
      components: components.map((component) => ({
        type: 'library',
        'bom-ref': component.reference,
        name: component.name,
        version: component.version,
        purl: component.purl,
        ...(component.source === undefined
          ? {}
          : { properties: [{ name: 'cvm-builder:source-package', value: component.source }] }),
      })),
    })),
    compositions: parts.map(({ reference, components }) => ({
      // Never complete: files that no package manager put there are not listed.
      aggregate: components.length === 0 ? 'unknown' : 'incomplete',
      assemblies: [reference],
    })),
  };
}
