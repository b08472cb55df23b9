import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import { resolvePath } from '../config/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import { sha256File } from '../host/files.ts';
import type { ExtraProgram } from '../initrd/index.ts';
import { developmentCa } from '../kbs/dev-kbs/index.ts';
import { pathContext } from './builder-file.ts';
import { readCertificate } from './certificate.ts';
import { developmentState } from './policy-place.ts';
import type { BuildSettings } from './settings.ts';

/** Whom the CVM asks for its key, and with what. */
export interface KeyBroker {
  url: string;
  /** PEM certificates, the only ones the CVM trusts. */
  ca: string;
  client: { kind: 'development' } | { kind: 'production'; programs: ExtraProgram[] };
  /** snpguest for the container, where the administrator brought one. */
  snpguest: string | undefined;
}

/** The development KBS as a development boot's network shows it, on every machine alike. */
export const developmentKbsUrl = 'https://10.0.2.100:8999';

/**
 * Finds the key broker's address and certificate, and the programs that talk to it.
 * @throws UserError where a production bundle would have nobody to ask.
 */
export async function findKeyBroker(settings: BuildSettings, signal?: AbortSignal): Promise<KeyBroker> {
  const snpguest = await binary(settings, 'snpguest');
  if (settings.kind === 'development') {
    const { certFile } = await developmentCa(developmentState(), { signal });
    const ca = await readFile(certFile, 'utf8');
    return { url: developmentKbsUrl, ca, client: { kind: 'development' }, snpguest };
  }
  const { url } = settings.builder.kbs;
  if (url === undefined) {
    throw needs('it does not know the key broker', 'set kbs.url in builder.yml');
  }
  const kbsClient = await binary(settings, 'kbs-client');
  if (kbsClient === undefined) {
    throw needs('binaries/kbs-client is missing', 'put a kbs-client with the snp attester there');
  }
  const files = [kbsClient, ...(snpguest === undefined ? [] : [snpguest])];
  const names = ['kbs-client', 'snpguest'];
  const programs = await Promise.all(
    files.map(async (file, index) => ({
      name: names[index]!,
      file,
      sha256: (await sha256File(file, { signal })).hex,
    })),
  );
  return { url, ca: await readCa(settings), client: { kind: 'production', programs }, snpguest };
}

/** {@link findKeyBroker} where that makes nothing: a development KBS may not have its certificate yet. */
export async function knownKeyBroker(
  settings: BuildSettings,
  signal: AbortSignal,
): Promise<KeyBroker | undefined> {
  const missing = settings.kind === 'development' && !(await pathExists(join(developmentState(), 'ca.crt')));
  return missing ? undefined : findKeyBroker(settings, signal);
}

/** The certificate that a bundle would trust, in PEM; undefined where the development one is not made yet. */
export async function brokerCertificate(settings: BuildSettings): Promise<string | undefined> {
  if (settings.kind === 'production') return readCa(settings);
  const file = join(developmentState(), 'ca.crt');
  return (await pathExists(file)) ? readFile(file, 'utf8') : undefined;
}

/** Where a program of the administrator's is looked for. */
export function programFile(
  { binaries, programs }: Pick<BuildSettings, 'binaries' | 'programs'>,
  name: 'kbs-client' | 'snpguest',
): string {
  return programs?.[name] ?? join(binaries, name);
}

async function readCa(settings: BuildSettings): Promise<string> {
  const named = settings.builder.kbs.ca;
  const found =
    named === undefined
      ? { path: join(settings.binaries, 'rootCA.crt') }
      : resolvePath(named, pathContext(settings.builderFolder));
  if ('problem' in found) throw needs(`kbs.ca: ${found.problem}`, 'name the PEM file in builder.yml');
  return readCertificate(found.path, needs);
}

async function binary(settings: BuildSettings, name: 'kbs-client' | 'snpguest'): Promise<string | undefined> {
  const file = programFile(settings, name);
  return (await pathExists(file)) ? file : undefined;
}

function needs(cause: string, hint: string): UserError {
  return new UserError(`cannot build a production bundle: ${cause}`, {
    hint: `${hint}; or build a development bundle with --dev`,
    status: exitStatus.usage,
  });
}
