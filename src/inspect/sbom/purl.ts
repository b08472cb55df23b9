import type { InstalledPackage } from '../packages/package.ts';

/** A distribution by `ID` and `VERSION_ID` of os-release(5). */
export type Distribution = { id: string; version: string | undefined } | undefined;

/**
 * Package URL of a package (ECMA-427, purl): `pkg:deb/debian/curl@7.88.1-10?arch=amd64&distro=debian-12`. The name space of both types is the
 * distribution.
 */
export function packageUrl(
  { type, name, version, architecture }: InstalledPackage,
  distribution: Distribution,
): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  const vendor = distribution?.id ?? (type === 'apk' ? 'alpine' : 'debian');
  const qualifiers = [
    ...(architecture === undefined ? [] : [`arch=${encode(architecture)}`]),
    ...(distribution?.version === undefined
      ? []
      : [`distro=${encode(`${distribution.id}-${distribution.version}`)}`]),
  ];
  const path = `pkg:${type}/${encode(vendor.toLowerCase())}/${encode(name.toLowerCase())}@${encode(version)}`;
  return qualifiers.length === 0 ? path : `${path}?${qualifiers.join('&')}`;
}
