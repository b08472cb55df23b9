import { X509Certificate } from 'node:crypto';

/**
 * What of a FLARE startup kit the host may read. Everything else is sealed, whatever it is: a list of secrets would have to know them all.
 * A file is plain only where its path is listed and its content is what that path promises.
 */

/** Key of user_config under which FLARE's packager puts the startup kit. */
export const flareKit = 'nvflare';

/** Bytes; FLARE's own files have a few thousand. A larger one is sealed. */
export const largestPublicFile = 2 ** 20;

/** The public files, by path below the kit's folder. Names are FLARE's own (`ProvFileName` of nvflare 2.9), one by one. */
const publicFiles: readonly { path: RegExp; holds: (content: Buffer) => boolean }[] = [
  // Certificates go to every peer at each connection.
  { path: /^startup\/[^/]+\.(?:crt|pem)$/, holds: isCertificates },
  // Where the server is, and what the files beside are called.
  { path: /^startup\/fed_(?:client|server|relay|admin)\.json$/, holds: isHarmlessJson },
  // FLARE's scripts are the same in every kit but for names. A script of the site's own is not among them.
  { path: /^startup\/(?:start|sub_start|stop_fl|docker|fl_admin)\.sh$/, holds: isHarmlessScript },
  // Signatures over the files of a folder, to be verified by all who have the root certificate.
  { path: /^(?:startup\/|local\/|transfer\/)?signature\.json$/, holds: isSignatures },
  // What is logged and where; who may submit jobs; which filters results pass. Policy, which the host may know.
  { path: /^local\/log_config\.json(?:\.default)?$/, holds: isHarmlessJson },
  { path: /^local\/authorization\.json(?:\.default)?$/, holds: isHarmlessJson },
  { path: /^local\/privacy\.json(?:\.default|\.sample)?$/, holds: isHarmlessJson },
  // Not here, though FLARE writes them: resources.json and *_resources.json, whose components take credentials as arguments;
  // comm_config.json, which does too; *_context.tenseal, the key of homomorphic encryption; code in custom/, which is the site's property.
];

/** Whether the name of a file lets it be public. @param path below /user_config */
export function hasPublicName(path: string): boolean {
  return ruleOf(path) !== undefined;
}

/** Whether a file is public, by name and content. @param path below /user_config */
export function isPublicFile(path: string, content: Buffer): boolean {
  return ruleOf(path)?.holds(content) ?? false;
}

function ruleOf(path: string) {
  if (!path.startsWith(`${flareKit}/`)) return undefined;
  const below = path.slice(flareKit.length + 1);
  return publicFiles.find((file) => file.path.test(below));
}

const certificates =
  /-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?:\r?\n)*/y;

/** PEM certificates (RFC 7468) and not a byte beside them, neither between two nor behind the DER in one. */
function isCertificates(content: Buffer): boolean {
  const text = content.toString('latin1');
  let end = 0;
  for (certificates.lastIndex = 0; end < text.length; end = certificates.lastIndex) {
    const base64 = certificates.exec(text)?.[1] ?? '';
    const der = Buffer.from(base64, 'base64');
    // A decoder passes over what follows the padding.
    if (der.toString('base64') !== withoutBlanks(base64) || !isCertificate(der)) return false;
  }
  return end > 0;
}

function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.length === der.length;
  } catch {
    return false;
  }
}

/** Words beside which secrets stand in settings and scripts, and a user in an address. /etc/passwd holds none, and docker.sh names it. */
const secretWords =
  /:\/\/[^/\s]*@|(?<!\/etc\/)passw|passphrase|pgpass|_pass\b|secret|credential|token|api_?key|bearer|\bbasic |\bauth\b|\bpsk\b/i;
/** What keys and tokens look like: longer than any name in FLARE's own files, or twenty characters with digits among the letters. */
const randomText =
  /[0-9a-f]{32}|[A-Za-z0-9+/]{40}|[A-Za-z0-9_-]{40}|(?=[\w+=-]*\d[\w+=-]*[A-Z])(?=[\w+=-]*[a-z])[\w+=-]{20}/;

/** Text in which nothing looks like a secret. In doubt it is not harmless: a sealed file is in its place in the VM all the same. */
function isHarmlessText(text: string): boolean {
  return !/[\0\ufffd]/.test(text) && !secretWords.test(text) && !randomText.test(text);
}

function isHarmlessScript(content: Buffer): boolean {
  const text = content.toString('utf8');
  return text.startsWith('#!') && isHarmlessText(text);
}

function isHarmlessJson(content: Buffer): boolean {
  const text = content.toString('utf8');
  const found = mapIn(text);
  // Once more as it reads without escapes.
  return found !== undefined && isHarmlessText(text) && isHarmlessText(JSON.stringify(found));
}

/** The map that is the whole of a JSON text. */
function mapIn(text: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    const isMap = typeof found === 'object' && found !== null && !Array.isArray(found);
    return isMap ? (found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Lengths of RSA signatures in bytes: keys of 2048, 3072 and 4096 bits. No private key has one of them as DER. */
const signatureBytes = [256, 384, 512];

/** A JSON map of file names to RSA signatures in base64. */
function isSignatures(content: Buffer): boolean {
  const text = content.toString('utf8');
  const found = mapIn(text);
  // Of a name that stands there twice, the reader keeps the last alone.
  if (found === undefined || withoutBlanks(JSON.stringify(found)) !== withoutBlanks(text)) return false;
  return Object.entries(found).every(
    ([name, signature]) =>
      /^[\w.-]{1,40}$/.test(name) &&
      isHarmlessText(name) &&
      typeof signature === 'string' &&
      /^[A-Za-z0-9+/]+={0,2}$/.test(signature) &&
      signatureBytes.includes(Buffer.from(signature, 'base64').length),
  );
}

const withoutBlanks = (text: string) => text.replaceAll(/\s/g, '');
