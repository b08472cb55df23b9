import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { contentKey } from '../graph/cache.ts';
import { UserError } from '../host/errors.ts';
import { templatePath } from '../host/template.ts';
import { type Collection, installModules, installPrograms, linkApplets, readList } from './collect.ts';
import { ProgramInstaller } from './programs.ts';

/** A part of the initrd that does not depend on the site, so that it can be cached. */
export interface Part {
  /** Content key of all it is made of, but for the base. */
  key: string;
  fill(collection: Collection): Promise<void>;
}

/** A user's own program, put into the initrd's /usr/bin with the libraries the base has for it. */
export interface ExtraProgram {
  name: string;
  file: string;
  sha256: string;
}

/** Raised when the same lists and scripts would give another tree. */
const version = '4';

const initScripts = ['dhcp', 'drives', 'key', 'log', 'network', 'sealed', 'user-config', 'vault'].map(
  (name) => `lib/${name}.sh`,
);

/** InitApp, its programs, and the kernel modules it loads. */
export async function systemPart(kernelRelease: string): Promise<Part> {
  const programs = await readList('programs.txt');
  const modules = await readList('modules.txt');
  const applets = await readList('applets.txt');
  const texts = await Promise.all(
    ['init', ...initScripts].map((name) => readFile(templatePath(`initrd/${name}`))),
  );
  const lists = [programs, modules, applets].map((list) => list.join('\n'));
  return {
    key: contentKey('system', version, ...lists, ...texts),
    async fill(collection) {
      const { tree } = collection;
      await installPrograms(collection, programs);
      await installModules(collection, kernelRelease, modules);
      await linkApplets(tree, applets);
      await mkdir(join(tree, 'usr/lib/cvm'), { recursive: true });
      await copyProgram(templatePath('initrd/init'), join(tree, 'init'));
      for (const name of initScripts) {
        await copyProgram(templatePath(`initrd/${name}`), join(tree, 'usr/lib/cvm', basename(name)));
      }
      for (const folder of ['dev', 'proc', 'sys', 'run', 'sysroot', 'tmp', 'etc/cvm']) {
        await mkdir(join(tree, folder), { recursive: true });
      }
    },
  };
}

/** The client for the KBS protocol's sample TEE: in the initrds of development bundles and in no other. */
export async function developmentPart(): Promise<Part> {
  const programs = await readList('dev-programs.txt');
  const client = templatePath('initrd/kbs-sample-client');
  return {
    key: contentKey('development', version, ...programs, await readFile(client)),
    async fill(collection) {
      await installPrograms(collection, programs);
      await copyProgram(client, join(collection.tree, 'usr/bin/kbs-sample-client'));
    },
  };
}

/** The user's kbs-client and snpguest, with the libraries that the base has for them. */
export function clientsPart(programs: readonly ExtraProgram[]): Part {
  return {
    key: contentKey('clients', version, ...programs.flatMap(({ name, sha256 }) => [name, sha256])),
    async fill(collection) {
      const installer = new ProgramInstaller(collection.sysroot, collection.tree);
      for (const { name, file, sha256 } of programs) {
        const content = await installer.installExtra(file, `/usr/bin/${name}`);
        if (createHash('sha256').update(content).digest('hex') !== sha256)
          throw new UserError(`cannot take ${file} into the initrd: it changed meanwhile`);
      }
    },
  };
}

/** Replaces `target`, also where it is a link, by an executable copy. */
async function copyProgram(file: string, target: string): Promise<void> {
  await rm(target, { force: true });
  await cp(file, target);
  await chmod(target, 0o755);
}
