import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { effectiveAccounts } from '../../../src/workload/accounts.ts';
import { imageOf } from '../../../src/workload/archive/image.ts';
import type { ArchiveIndex } from '../../../src/workload/archive/scan.ts';
import type { AccountFile } from '../../../src/workload/layer/convert.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const diffId = `sha256:${'0'.repeat(64)}`;
const platform = { os: 'linux', architecture: 'amd64' };
const imageConfig = (more: object = {}) =>
  JSON.stringify({ ...platform, rootfs: { diff_ids: [diffId] }, ...more });

function indexOf(files: Record<string, string>): ArchiveIndex {
  const documents = new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]));
  return { documents, skipped: new Set(), links: new Map() };
}

const docker = (images: object[], config = imageConfig()) =>
  indexOf({ 'manifest.json': JSON.stringify(images), 'c.json': config });

/** An OCI layout of blobs; `index` gets a function that stores a document and returns its descriptor. */
function oci(index: (blob: (document: object | string) => { digest: string }) => object): ArchiveIndex {
  const files: Record<string, string> = {};
  const blob = (document: object | string) => {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    files[`blobs/sha256/${sha256(text)}`] = text;
    return { digest: `sha256:${sha256(text)}` };
  };
  files['index.json'] = JSON.stringify(index(blob));
  return indexOf(files);
}

describe('imageOf', () => {
  it('finds the image of a docker archive', () => {
    const image = imageOf(
      'a.tar',
      docker([{ Config: 'c.json', RepoTags: ['a:1', 'a:2'], Layers: ['x/layer.tar'] }]),
    );
    expect(image).toMatchObject({
      reference: 'a:1',
      layers: ['x/layer.tar'],
      id: `sha256:${sha256(imageConfig())}`,
    });
  });

  it('refuses an archive of several images and names them', () => {
    const images = ['a:1', 'b:1'].map((tag) => ({ Config: 'c.json', RepoTags: [tag], Layers: [] }));
    expect(() => imageOf('a.tar', docker(images))).toThrow('it holds 2 images: a:1, b:1');
  });

  it.each([
    ['another machine', imageConfig({ architecture: 'arm64' }), 'linux/arm64, not linux/amd64'],
    ['another system', imageConfig({ os: 'windows' }), 'windows/amd64'],
    [
      'another number of layers',
      imageConfig({ rootfs: { diff_ids: [diffId, diffId] } }),
      'names 1 layers, its image configuration 2',
    ],
    ['a configuration that is not JSON', '{', 'its c.json is not valid JSON'],
    ['a configuration of wrong shape', imageConfig({ rootfs: { diff_ids: ['md5:1'] } }), 'rootfs.diff_ids.0'],
  ])('refuses an image for %s', (_, config, message) => {
    expect(() => imageOf('a.tar', docker([{ Config: 'c.json', Layers: ['l'] }], config))).toThrow(message);
  });

  it('refuses a configuration whose name is another digest', () => {
    const name = `${'1'.repeat(64)}.json`;
    const index = indexOf({
      'manifest.json': JSON.stringify([{ Config: name, Layers: ['l'] }]),
      [name]: imageConfig(),
    });
    expect(() => imageOf('a.tar', index)).toThrow(`has the digest sha256:${sha256(imageConfig())}`);
  });

  it('refuses archives without a manifest, an image, or the configuration', () => {
    expect(() => imageOf('a.tar', indexOf({}))).toThrow('neither manifest.json nor index.json');
    expect(() => imageOf('a.tar', docker([]))).toThrow('names no image');
    expect(() => imageOf('a.tar', docker([{ Config: 'gone.json', Layers: [] }]))).toThrow(
      'gone.json, which is not in it',
    );
  });

  it('takes the image for this machine from a nested index, its attestation left aside', () => {
    const index = oci((blob) => {
      const manifest = (config: string) => ({ config: blob(config), layers: [blob('layer')] });
      const inner = blob({
        manifests: [
          {
            ...blob(manifest(imageConfig({ architecture: 'arm64' }))),
            platform: { os: 'linux', architecture: 'arm64' },
          },
          { ...blob(manifest(imageConfig())), platform },
          { ...blob({ attestation: true }), platform: { os: 'unknown', architecture: 'unknown' } },
        ],
      });
      const mediaType = 'application/vnd.oci.image.index.v1+json';
      return {
        manifests: [{ mediaType, ...inner, annotations: { 'io.containerd.image.name': 'repo:tag' } }],
      };
    });
    expect(imageOf('a.tar', index)).toMatchObject({
      reference: 'repo:tag',
      layers: [`blobs/sha256/${sha256('layer')}`],
      config: platform,
    });
  });

  it('refuses an OCI layout of two images, and a blob that is not what its digest says', () => {
    const two = oci((blob) => ({
      manifests: ['a', 'b'].map((tag) => ({
        ...blob({ config: blob(imageConfig({ tag })), layers: [] }),
        annotations: { 'org.opencontainers.image.ref.name': tag },
      })),
    }));
    expect(() => imageOf('a.tar', two)).toThrow('it holds 2 images: a, b');
    const altered = oci((blob) => ({
      manifests: [blob({ config: blob(imageConfig()), layers: [blob('layer')] })],
    }));
    const config = `blobs/sha256/${sha256(imageConfig())}`;
    altered.documents.set(config, Buffer.from(imageConfig({ config: { Cmd: ['evil'] } })));
    expect(() => imageOf('a.tar', altered)).toThrow('has the digest');
  });
});

describe('effectiveAccounts', () => {
  const layer = (passwd: AccountFile) => ({
    accounts: { 'etc/passwd': passwd, 'etc/group': 'untouched' as const },
  });

  it.each<[string, AccountFile[], string | undefined]>([
    ['the upper text', [{ text: 'a' }, { text: 'b' }, 'untouched'], 'b'],
    ['nothing when hidden', [{ text: 'a' }, 'hidden'], undefined],
    ['what comes after hiding', [{ text: 'a' }, 'hidden', { text: 'c' }], 'c'],
    ['nothing when a link took its place', [{ text: 'a' }, 'unusable'], undefined],
    ['nothing when no layer has it', ['untouched'], undefined],
  ])('gives %s', (_, files, expected) => {
    expect(effectiveAccounts(files.map(layer)).passwd).toBe(expected);
  });
});
