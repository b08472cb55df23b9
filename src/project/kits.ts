import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { siteContext } from '../build/builder-file.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { isFolder } from '../host/folders.ts';

/**
 * The folder with the startup kits of a project: `workspace/<project>/prod_NN`, the one with the highest number, as FLARE's
 * workspace builder makes it. Looked for in the working directory, then beside project.yml.
 * @param file project.yml
 * @param named `--kits`, in place of it
 * @throws UserError where there is none
 */
export async function findKits(project: string, file: string, named?: string): Promise<string> {
  if (named !== undefined) {
    if (await isFolder(resolve(named))) return resolve(named);
    throw cannot(
      `there is no folder ${resolve(named)}`,
      'name a folder prod_NN of the workspace with --kits',
    );
  }
  const folders = [process.cwd(), siteContext(dirname(resolve(file))).configDirectory].map((root) =>
    join(root, 'workspace', project),
  );
  for (const folder of folders) {
    const newest = await newestIn(folder);
    if (newest !== undefined) return newest;
  }
  throw cannot(
    `there is no prod_NN in ${[...new Set(folders)].join(' and none in ')}`,
    `run \`nvflare provision -p ${file}\` first, or name the folder with --kits`,
  );
}

/** By number: FLARE writes two digits, but counts. */
async function newestIn(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  const numbers = names.flatMap((name) => {
    const number = /^prod_(\d+)$/.exec(name)?.[1];
    return number === undefined ? [] : [{ name, number: Number(number) }];
  });
  const newest = numbers.sort((a, b) => b.number - a.number)[0];
  return newest && join(folder, newest.name);
}

/**
 * The startup kit of a participant.
 * @throws UserError where it is not there, or no kit any more
 */
export async function kitOf(kits: string, participant: string): Promise<string> {
  const folder = join(kits, participant);
  if (await isFolder(join(folder, 'startup'))) return folder;
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) {
    throw cannot(
      `${participant} has no folder in ${kits}`,
      'provision again, or name another prod_NN with --kits',
    );
  }
  throw names.includes(`${participant}.tgz`)
    ? cannot(
        `${folder} holds a bundle in place of the kit`,
        "FLARE's OnPremPackager took the kits: leave `packager:` out of project.yml and provision again",
      )
    : cannot(`${folder} has no folder startup`, 'provision again');
}

function cannot(cause: string, hint: string): UserError {
  return new UserError(`cannot find the startup kits: ${cause}`, { hint, status: exitStatus.usage });
}
