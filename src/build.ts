import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findFirmware, localFirmware } from './base/index.ts';
import { acceptFirmware, firmwareOf } from './build/accept-firmware.ts';
import { authorizerFindings } from './build/authorizers.ts';
import { baseOfSite, knownBase } from './build/base-of-site.ts';
import { completeBundle } from './build/complete-bundle.ts';
import { gpuOfSite } from './build/gpu.ts';
import { handOver } from './build/hand-over.ts';
import { newIdentity } from './build/identity.ts';
import { initrdOfSite } from './build/initrd-of-site.ts';
import { findKeyBroker, knownKeyBroker } from './build/key-broker.ts';
import { kitOfSite } from './build/kit.ts';
import { pushBuilt, pushesAfterBuild } from './build/push-built.ts';
import { replaceImage } from './build/rebuild/replace-image.ts';
import { buildRecord } from './build/record/collect.ts';
import { writeBuildRecord } from './build/record/file.ts';
import { runtimeAttestation } from './build/runtime-attestation.ts';
import type { BuildSettings } from './build/settings.ts';
import { shareSettings, userDataFolder } from './build/user-data.ts';
import { commandLine, measureLaunch, openToReaders, packBundle } from './bundle/index.ts';
import { makeDrive } from './drives/index.ts';
import { type Cache, openCache } from './graph/cache.ts';
import { graph } from './graph/graph.ts';
import { recordedDigest, requireDigest } from './host/digests.ts';
import { messageOf, UserError } from './host/errors.ts';
import { copyHashed } from './host/files.ts';
import { workDirectory } from './host/temp.ts';
import {
  cachedGenericParts,
  forgetGenericParts,
  makeGenericParts,
  makeInitrd,
  sitePart,
} from './initrd/index.ts';
import { sealDrive } from './seal/index.ts';
import { hostName, makeSiteLayer } from './site/index.ts';
import {
  cachedArchive,
  firstId,
  idCount,
  importArchive,
  mountPointsFor,
  runtimeConfig,
} from './workload/index.ts';

/** What a build works with: the checked settings and the cache. */
export interface BuildOptions {
  settings: BuildSettings;
  cache: Cache;
}

export function buildOptions(settings: BuildSettings): BuildOptions {
  return { settings, cache: openCache(settings.cacheRoot) };
}

/**
 * The build of one bundle. Each task makes one artefact; what joins them stands here and nowhere else.
 *
 *     base ─┬──────────────── generic initrd ─────────────────────────┐
 *     workload ─┐             broker ─┴───────────────────────────────┤
 *     kit ──────┴─ site ── seal (base, site, layers) ── header, root hash ── initrd ── measure ── bundle ── hand-off
 *       └─ drives                                                firmware ──┘
 */
const cvm = graph<BuildOptions>();

const identity = cvm.task('identity', {
  title: 'Identity and disk key',
  run: ({ options: { settings }, scope }) => newIdentity(settings, scope),
});

const base = cvm.task('base', {
  title: 'Base system',
  cached: async ({ options, signal }) => (await knownBase(options, signal)) ?? false,
  run: ({ options, ...context }) => baseOfSite(options, context),
});

const firmware = cvm.task('firmware', {
  title: 'Firmware',
  cached: async ({ options: { settings, cache }, signal }) => {
    const local = firmwareOf(settings) ?? (await localFirmware({ cache, baseImages: settings.baseImages }));
    const report = { signal, note: () => {}, warn: () => {} };
    return local !== undefined && acceptFirmware(local, settings, report);
  },
  run: async ({ options: { settings, cache }, ...context }) => {
    const where = {
      cache,
      baseImages: settings.baseImages,
      signal: context.signal,
      progress: context.progress,
    };
    const local = firmwareOf(settings) ?? (await localFirmware(where));
    if (local !== undefined) context.usedCache();
    return acceptFirmware(local ?? (await findFirmware(where)), settings, context);
  },
});

const workload = cvm.task('workload', {
  title: 'Workload layers',
  cached: async ({ options: { settings, cache }, signal }) =>
    (await cachedArchive({ archive: settings.dockerArchive, cache, signal, warn: () => {} })) ?? false,
  run: async ({ options: { settings, cache }, ...context }) => {
    const imported = await importArchive({
      archive: settings.dockerArchive,
      cache,
      signal: context.signal,
      progress: ({ done, total }) => context.progress({ done, total, unit: 'bytes' }),
      warn: context.warn,
    });
    if (imported.fromCache) context.usedCache();
    return imported;
  },
});

const kit = cvm.task('kit', {
  title: 'Startup kit',
  run: ({ options: { settings }, ...context }) => kitOfSite(settings, context),
});

const broker = cvm.task('broker', {
  title: 'Key broker',
  cached: ({ options: { settings }, signal }) => knownKeyBroker(settings, signal),
  run: async ({ options: { settings }, signal, note, warn }) => {
    const found = await findKeyBroker(settings, signal);
    authorizerFindings(settings, found).forEach(settings.kind === 'production' ? warn : note);
    return found;
  },
});

const genericInitrd = cvm.task('initrd-parts', {
  title: 'Initrd, generic part',
  needs: { base, broker },
  cached: async ({ base, broker }, { options: { settings, cache } }) =>
    base &&
    broker &&
    !settings.refreshInitrd &&
    ((await cachedGenericParts({ cache, base, client: broker.client })) ?? false),
  run: async ({ base, broker: { client } }, { options: { settings, cache }, signal, ...context }) => {
    if (settings.refreshInitrd) await forgetGenericParts({ cache, base, client });
    const known = await cachedGenericParts({ cache, base, client });
    if (known !== undefined) context.usedCache();
    return known ?? makeGenericParts({ cache, base, client, signal });
  },
});

const site = cvm.task('site', {
  title: 'Site layer',
  needs: { identity, workload, kit, broker },
  run: async ({ identity, workload, kit, broker }, { options: { settings }, scope, signal }) => {
    const work = scope.use(await workDirectory({ bytes: 64 * 2 ** 20 + kit.sealedBytes }));
    const file = join(work.path, 'site.squashfs');
    const gpu = gpuOfSite(settings);
    const container = { hostBin: broker.snpguest !== undefined, gpu: gpu !== undefined };
    const share = shareSettings(settings.site);
    const named = { hostname: hostName(settings.name), ...container };
    const config = runtimeConfig(workload, named);
    await makeSiteLayer(
      {
        runtimeConfig: config,
        shareRuntimeConfig: share.allowed ? runtimeConfig(workload, { ...named, share: true }) : undefined,
        mountPoints: mountPointsFor(container),
        ids: { first: firstId, count: idCount },
        userConfigList: kit.sealedList,
        share,
        sealedFolder: kit.sealedFolder,
        owner: { uid: firstId + config.process.user.uid, gid: firstId + config.process.user.gid },
        snpguest: broker.snpguest,
        attestation: runtimeAttestation(settings, { identity, broker }),
        gpu,
      },
      { file, workDirectory: work.path, signal },
    );
    return { file, user: config.process.user };
  },
});

const drives = cvm.task('drives', {
  title: 'Plain drives',
  needs: { identity, kit },
  run: async ({ identity, kit }, { options: { settings }, scope, signal }) => {
    const work = scope.use(await workDirectory());
    const { driveBytes } = settings.site;
    const contents = [
      { label: 'applog', bytes: driveBytes.applog },
      { label: 'user_config', bytes: driveBytes.userConfig, content: kit.plainFolder },
      {
        label: 'user_data',
        bytes: driveBytes.userData,
        content: await userDataFolder(work.path),
        lostAndFound: true,
      },
    ];
    for (const drive of contents) {
      const file = join(identity.folder, `${drive.label}.qcow2`);
      await makeDrive({ ...drive, file, seed: identity.id, workDirectory: work.path, signal });
    }
  },
});

const seal = cvm.task('seal', {
  title: 'Sealed root drive',
  needs: { identity, base, site, workload },
  run: async ({ identity, base, site, workload }, { options: { settings }, scope, signal, progress }) => {
    const files = [
      { name: 'base', file: base.squashfs, sha256: base.id },
      { name: 'site', file: site.file },
      ...workload.layers.map(({ squashfs, sha256 }, index) => ({
        name: `layer${index}`,
        file: squashfs,
        sha256,
      })),
    ];
    const segments = await Promise.all(
      files.map(async (segment) => ({ ...segment, bytes: (await stat(segment.file)).size })),
    );
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    const work = scope.use(await workDirectory({ bytes: bytes * 1.1 }));
    return sealDrive({
      segments,
      drive: join(identity.folder, 'crypt_root.qcow2'),
      driveBytes: settings.site.driveBytes.root,
      key: identity.key,
      workDirectory: work.path,
      signal,
      progress,
    });
  },
});

const initrd = cvm.task('initrd', {
  title: 'Initrd',
  needs: { identity, genericInitrd, seal, site, broker },
  run: async ({ genericInitrd, site, ...made }, { options: { settings }, scope, signal, note }) => {
    const work = scope.use(await workDirectory());
    const part = join(work.path, 'site.cpio.zst');
    const content = await initrdOfSite(settings, { ...made, user: site.user }, note);
    await sitePart(content, { file: part, workDirectory: work.path, signal });
    const file = join(made.identity.folder, 'initrd.img');
    return { file, sha256: await makeInitrd(genericInitrd, part, file, signal) };
  },
});

const measure = cvm.task('measure', {
  title: 'Launch digests',
  needs: { identity, base, firmware, initrd },
  run: async ({ identity, base, firmware, initrd }, { options: { settings }, signal }) => {
    const { machine } = settings.builder;
    // What is measured is what lies in the bundle, and that is what was cached and joined.
    const kernel = join(identity.folder, 'vmlinuz');
    await copyHashed(base.kernel, kernel, 0o644, signal);
    const { launch, blobs } = await measureLaunch({
      firmware: firmware.parsed,
      kernel,
      initrd: initrd.file,
      cmdline: commandLine(identity.id),
      ...machine,
    });
    requireDigest(base.kernel, await recordedDigest(base.kernel), blobs.kernel.toString('hex'));
    requireDigest(initrd.file, initrd.sha256, blobs.initrd.toString('hex'));
    return launch;
  },
});

const bundle = cvm.task('bundle', {
  title: 'Bundle',
  needs: { identity, firmware, drives, seal, measure, broker },
  run: async ({ identity, firmware, measure, broker }, { options: { settings }, signal, progress }) => {
    const manifest = await completeBundle(settings, { identity, firmware, launch: measure, broker }, signal);
    await packBundle({
      folder: identity.folder,
      name: settings.name,
      out: identity.archive,
      signal,
      progress: (done, total) => progress({ done, total, unit: 'bytes' }),
    });
    await openToReaders(identity.folder, identity.finalMode);
    return manifest;
  },
});

const handOff = cvm.task('hand-off', {
  title: 'Hand-off to the key broker',
  needs: { identity, bundle, base, firmware, workload, kit, broker, genericInitrd },
  run: async ({ identity, bundle: manifest, ...inputs }, { options: { settings }, signal, note, warn }) => {
    const { folder, handoff, key } = identity;
    await writeBuildRecord(handoff, await buildRecord(settings, { manifest, ...inputs }, signal));
    const archive = join(settings.targetFolder, `${settings.name}.tgz`);
    const places = settings.replaces?.keepId?.places;
    if (places !== undefined) {
      const made = { places, key, unfinished: identity.unfinished };
      const policyFile = await replaceImage(settings, manifest, made, { signal, note, warn });
      return {
        folder: places.bundle,
        archive,
        manifest,
        handoff: places.handoff,
        policyFile,
        kit: inputs.kit,
      };
    }
    const handedOver = await handOver(settings, manifest, { handoff, key }, { signal, note, warn });
    try {
      await rename(identity.archive, archive);
    } catch (error) {
      await handedOver.undo();
      throw new UserError(`cannot write ${archive}: ${messageOf(error)}`, { cause: error });
    }
    identity.unfinished.length = 0;
    return { folder, archive, manifest, handoff, policyFile: handedOver.policyFile, kit: inputs.kit };
  },
});

const push = cvm.task('push', {
  title: 'Push to the key broker',
  needs: { handOff },
  run: async ({ handOff }, { options: { settings }, ...report }) => {
    await pushBuilt(settings, handOff, report);
    return handOff;
  },
});

/** The graph, the task that a build is run for, and the tasks whose outputs sites may share. */
export const build = {
  graph: cvm,
  shared: { base, firmware, workload, broker, genericInitrd },
  targetsOf: async (settings: BuildSettings) => ({
    result: (await pushesAfterBuild(settings)) ? push : handOff,
  }),
};
