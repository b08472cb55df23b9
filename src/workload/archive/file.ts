import { openSourceFile, type SourceFile, type SourceFileOptions } from '../../host/source-file.ts';
import { unusable } from './scan.ts';

/** An archive held open, so that every pass reads the same file. */
export type ArchiveFile = SourceFile;

/** @throws UserError where the archive is missing, empty or no regular file */
export function openArchiveFile(archive: string, options: SourceFileOptions = {}): Promise<ArchiveFile> {
  return openSourceFile(
    archive,
    {
      unusable: (why, hint, cause) => unusable(archive, why, hint, cause),
      missing: 'check docker_archive in the configuration',
      folder: `pack an OCI layout with: tar -C ${archive} -cf image.tar .`,
      changed: 'wait until the archive is written, then build again',
    },
    options,
  );
}
