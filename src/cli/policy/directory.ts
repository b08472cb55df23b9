import { join, resolve } from 'node:path';
import { type BuilderFile, outputPath, pathContext, readBuilderFile } from '../../build/builder-file.ts';
import { type PolicyPlace, policyPlace } from '../../build/policy-place.ts';
import { exitStatus, UserError } from '../../host/errors.ts';

/** Options that every policy command takes. */
export interface DirectoryFlags {
  /** builder.yml; the one beside cvm_build.sh unless named. */
  config?: string;
  /** Policy directory, in place of the one that builder.yml names. */
  directory?: string;
  /** The registry of development bundles. */
  dev?: boolean;
  /** Open Policy Agent, in place of the one that builder.yml names. */
  opa?: string;
}

/** Where a policy command works, and with what settings. */
export interface CommandPlace extends PolicyPlace, BuilderFile {
  kind: 'production' | 'development';
  /** `handoff/` of the output folder. */
  handoffFolder: string;
}

/**
 * Finds the policy directory as a build would.
 * @throws UserError where builder.yml cannot be used, or two directories are named.
 */
export async function commandPlace(flags: DirectoryFlags): Promise<CommandPlace> {
  if (flags.dev && flags.directory !== undefined) {
    throw new UserError('cannot use --directory with --dev: development bundles have one directory', {
      status: exitStatus.usage,
    });
  }
  const file = await readBuilderFile(flags.config);
  const kind = flags.dev ? 'development' : 'production';
  const handoffFolder = join(outputPath(file.builder.output ?? '.', pathContext(process.cwd())), 'handoff');
  const place = policyPlace(kind, file, handoffFolder);
  return {
    ...file,
    kind,
    handoffFolder,
    directory: flags.directory === undefined ? place.directory : resolve(flags.directory),
    policyOptions: {
      ...place.policyOptions,
      ...(flags.opa === undefined ? {} : { opa: resolve(flags.opa) }),
    },
  };
}

/** The same for the kind that a bundle says it is; a directory that is named holds whatever kind. */
export function placeOfKind(
  kind: CommandPlace['kind'],
  { config, directory }: Pick<DirectoryFlags, 'config' | 'directory'>,
): Promise<CommandPlace> {
  const named = config === undefined ? {} : { config };
  if (directory !== undefined) return commandPlace({ ...named, directory });
  return commandPlace({ ...named, dev: kind === 'development' });
}
