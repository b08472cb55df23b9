import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Cache, openCache } from '../../../src/graph/cache.ts';
import { encodeEntry, padding, tarEnd } from '../../../src/host/tar/write.ts';
import { firstId, importArchive, type Workload } from '../../../src/workload/index.ts';

type Plain = Parameters<typeof encodeEntry>[0];

/** An entry of a test layer: a path and what differs from a plain file 0644 of root. */
export type Item = [name: string, more?: Partial<Plain> & { body?: string | Buffer }];

/** A tar stream of these entries, in this order. */
export function layerOf(...items: Item[]): Buffer {
  const blocks = items.flatMap(([name, { body = '', ...more } = {}]) => {
    const data = Buffer.from(body);
    const entry: Plain = {
      ...{ name, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 1_600_000_000, linkName: '' },
      ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
      ...more,
      size: data.length,
    };
    return [encodeEntry(entry), data, padding(data.length)];
  });
  return Buffer.concat([...blocks, tarEnd()]);
}

export function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

interface ImageOptions {
  config?: object;
  /** Claimed in place of the true ones. */
  diffIds?: string[];
  /** Layer blobs as they lie in the archive, in place of the layers. */
  blobs?: Buffer[];
  omitLayer?: number;
}

/** A docker archive in the layout of `docker save` since version 25. The manifest comes last, as there. */
export function archiveOf(layers: Buffer[], options: ImageOptions = {}): Buffer {
  const diffIds = options.diffIds ?? layers.map((layer) => `sha256:${sha256(layer)}`);
  const config = JSON.stringify({
    ...{
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['/x'] },
      rootfs: { type: 'layers', diff_ids: diffIds },
    },
    ...options.config,
  });
  const blobs = options.blobs ?? layers;
  const names = blobs.map((blob, i) => `blobs/sha256/${sha256(blob)}-${i}`);
  const configName = `blobs/sha256/${sha256(config)}`;
  return layerOf(
    ...blobs.map((body, i): Item => [names[i]!, { body }]).filter((_, i) => i !== options.omitLayer),
    [configName, { body: config }],
    [
      'manifest.json',
      { body: JSON.stringify([{ Config: configName, RepoTags: ['test:1'], Layers: names }]) },
    ],
  );
}

/** A folder for one test with a cache of its own. */
export class Bench implements AsyncDisposable {
  readonly folder: string;
  readonly cache: Cache;
  readonly warnings: string[] = [];

  constructor(folder: string) {
    this.folder = folder;
    this.cache = openCache(join(folder, 'cache'));
  }

  static async make(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), 'workload-test-')));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async import(archive: Buffer | string): Promise<Workload> {
    const path = typeof archive === 'string' ? archive : this.path('archive');
    if (typeof archive !== 'string') await writeFile(path, archive);
    return importArchive({ archive: path, cache: this.cache, warn: (text) => this.warnings.push(text) });
  }

  /** Every file below the cache: empty after a failed import. */
  async leftovers(): Promise<string[]> {
    const all = await readdir(join(this.folder, 'cache'), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    return all.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  async [Symbol.asyncDispose]() {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * `rdsquashfs --describe`: a line per inode, `type path mode uid gid …`, with the container's numbers of users. One of the VM's own would
 * show as negative.
 */
export function describeSquashfs(path: string): string[] {
  return execFileSync('rdsquashfs', ['--describe', path], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) =>
      line.replace(
        /(?<= 0[0-7]{0,4} )(\d+) (\d+)/,
        (_, uid, gid) => `${Number(uid) - firstId} ${Number(gid) - firstId}`,
      ),
    );
}

export function catSquashfs(path: string, file: string): string {
  return execFileSync('rdsquashfs', ['--cat', file, path], { encoding: 'utf8' });
}

export function xattrsOf(path: string, file: string): string[] {
  return execFileSync('rdsquashfs', ['--xattr', file, path], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter(Boolean);
}

export const gzip = (data: Buffer) => gzipSync(data, { level: 1 });

export const zstd = (data: Buffer) => execFileSync('zstd', ['-qc'], { input: data });
