import type { BuilderConfig } from '../config/index.ts';
import { exitStatus, UserError } from '../host/errors.ts';
import {
  type AdminCredential,
  defaultIdentity,
  destroyKeyFiles,
  openKbs,
  planPush,
  productionRegistry,
  push,
  pushTurn,
  readCredential,
  refuseUnsafe,
  removeKey,
  runPushScript,
} from '../kbs/client/index.ts';
import type { ImageRecord } from '../kbs/index.ts';
import type { BuilderFile } from './builder-file.ts';
import { type KbsAccess, kbsAccess } from './kbs-access.ts';
import { finishReplacements } from './rebuild/replacement.ts';

/** A push of all that a policy directory holds. */
export interface PushRequest {
  access: KbsAccess;
  settings: BuilderConfig['kbs'];
  policyDirectory: string;
  /** Brings policy.rego up to date and returns it. */
  policy: () => Promise<{ path: string; text: string }>;
  /** Folders `handoff/`, or `handoff/cvm_<id>`, that are searched for keys. */
  keyFolders: readonly string[];
  /** Push also to a KBS that believes forged tokens. */
  acceptInsecure: boolean;
  signal: AbortSignal;
  note: (text: string) => void;
  warn: (text: string) => void;
}

/**
 * Brings the key broker up to date: policy, keys, reference values, in this order; by requests of our own, or by the
 * administrator's script where `kbs.push` says so. A push that was interrupted is simply done again.
 * @throws UserError where the KBS is unsafe, there is no credential, or a request fails.
 */
export async function pushImages(request: PushRequest): Promise<void> {
  await finishReplacements(request.keyFolders, request.policyDirectory, request.signal);
  return request.settings.push === 'script' ? pushByScript(request) : pushByRequests(request);
}

async function pushByRequests(request: PushRequest): Promise<void> {
  const { access, settings, note } = request;
  const { resourcePrefix } = settings;
  const kbs = { url: access.url, ca: access.ca?.pem, credential: await administrator(request) };
  const pushed = await push({ ...request, kbs, resourcePrefix });
  note(`pushed to ${access.url}: ${pushed.keys.length} keys, ${pushed.active} active images`);
}

async function pushByScript(request: PushRequest): Promise<void> {
  const { access, settings, policyDirectory, keyFolders, acceptInsecure, signal, note, warn } = request;
  await productionRegistry(policyDirectory);
  const identity = await scriptsIdentity(request);
  using kbs = openKbs({ url: access.url, ca: access.ca?.pem, identity, signal });
  await using _turn = await pushTurn(policyDirectory, signal);
  const { resourcePrefix } = settings;
  await refuseUnsafe(kbs, { resourcePrefix, acceptInsecure, fromAside: true, warn });
  const registry = await productionRegistry(policyDirectory);
  const plan = await planPush(registry, await request.policy(), keyFolders);
  const files = filesOf(access);
  const { left } = await runPushScript({ policyDirectory, ...plan, kbs: files, signal, output: note });
  for (const file of left)
    warn(`${file} is still there: the script did not store the key, or did not remove its file`);
}

/**
 * How a build or a retirement reaches the key broker by itself; undefined where the administrator does it by hand, because
 * builder.yml says so or names no address, key or token.
 */
export async function automaticAccess(
  { builder, builderFolder }: BuilderFile,
  binaries?: string,
): Promise<KbsAccess | undefined> {
  const { push: how, url } = builder.kbs;
  if (how === 'never' || url === undefined) return undefined;
  const access = await kbsAccess(builder, builderFolder, binaries);
  const known = access.keyFile !== undefined || access.tokenFile !== undefined;
  return how === 'script' || known ? access : undefined;
}

/**
 * Takes a retired image's key from the key broker, after a push whose policy no longer lists it, and removes what the hand-off
 * folder still has of it. A path that an active image has taken over since is left alone: the key there is that one's. No other
 * push runs meanwhile, so none can store a key there that is then removed.
 * @returns what was done, as a sentence.
 */
export async function withdrawKey(request: PushRequest, image: ImageRecord): Promise<string> {
  const { access, policyDirectory, keyFolders, signal, note } = request;
  const credential = await administrator(request);
  using kbs = openKbs({ url: access.url, ca: access.ca?.pem, credential, signal, note });
  await using _turn = await pushTurn(policyDirectory, signal);
  const { images } = await productionRegistry(policyDirectory);
  const path = image.resourcePath;
  const heir = images.find(({ status, resourcePath }) => status === 'active' && resourcePath === path);
  const done =
    heir === undefined
      ? `the key at ${path} was ${await removeKey(kbs, image)}`
      : `the key at ${path} was left: it is that of active image ${heir.id} (${heir.name})`;
  if (image.previous !== undefined) await removeKey(kbs, image.previous);
  const files = await destroyKeyFiles(keyFolders, image.id);
  return files.length === 0 ? done : `${done}; ${files.join(', ')} overwritten and removed`;
}

/** As whom the script's own client asks, so that the check can try a forger's token of the same issuer and role. */
async function scriptsIdentity({ access, settings }: PushRequest): Promise<AdminCredential['identity']> {
  const { adminIssuer, adminRole } = settings;
  // A token that only the script can use is no reason to stop here.
  const read = readCredential({ tokenFile: access.tokenFile });
  const { credential } = await read.catch((): { credential?: AdminCredential } => ({}));
  return {
    ...defaultIdentity,
    ...(adminIssuer === undefined ? {} : { iss: adminIssuer }),
    ...(adminRole === undefined ? {} : { role: adminRole }),
    ...credential?.identity,
  };
}

/** The administrator's key or token. @throws UserError where there is none. */
async function administrator({ access, settings, warn }: PushRequest): Promise<AdminCredential> {
  const { adminIssuer: issuer, adminRole: role } = settings;
  const { credential, warnings } = await readCredential({ ...access, issuer, role });
  warnings.forEach(warn);
  if (credential !== undefined) return credential;
  throw new UserError("cannot push: there is no administrator's key or token", {
    hint: 'set kbs.admin_key or kbs.admin_token in builder.yml, or put the key at binaries/private.key',
    status: exitStatus.usage,
  });
}

function filesOf({ url, ca, keyFile, tokenFile, client }: KbsAccess) {
  return { url, caFile: ca?.file, adminKeyFile: keyFile, adminTokenFile: tokenFile, client };
}
