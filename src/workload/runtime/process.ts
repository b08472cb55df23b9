import { UserError } from '../../host/errors.ts';
import type { ImageConfig } from '../image-config.ts';

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * What a container starts: the image's entry point, then its command.
 * @throws UserError where the image names neither
 */
export function commandOf({ config }: ImageConfig): string[] {
  const args = [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])];
  if (args.length > 0 && args[0] !== '') return args;
  throw new UserError('cannot run the docker archive: its image has neither an entry point nor a command', {
    hint: 'add ENTRYPOINT or CMD to the Dockerfile and build the image again',
  });
}

/**
 * Docker's defaults, then the image's own variables, which win; each name once.
 * @param appendedPath folder that `PATH` ends with whatever the image says; it hides no program of the image
 */
export function environmentOf(
  { config }: ImageConfig,
  defaults: { home: string; hostname: string },
  appendedPath?: string,
): string[] {
  const variables = new Map([
    ['PATH', defaultPath],
    ['HOSTNAME', defaults.hostname],
    ['HOME', defaults.home],
  ]);
  for (const line of config?.Env ?? []) {
    const equals = line.indexOf('=');
    if (equals > 0) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const path = variables.get('PATH')!;
  if (appendedPath !== undefined && !path.split(':').includes(appendedPath)) {
    variables.set('PATH', path === '' ? appendedPath : `${path}:${appendedPath}`);
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** The image's working directory as an absolute path. */
export function workingDirectoryOf({ config }: ImageConfig): string {
  const directory = config?.WorkingDir ?? '';
  return directory.startsWith('/') ? directory : `/${directory}`;
}
