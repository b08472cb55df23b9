/**
 * Finds private keys among files, by name and by content. What is sealed does not depend on it: files are sealed unless they are
 * known to be public. This is the second net, under what a list or an administrator would let onto a plain drive.
 */

const privateName =
  /\.(?:key|p12|pfx|jks|jceks|bks|bcfks|keystore|ppk|keytab|kdbx|tenseal)$|^(?:.*[._-])?id_(?:rsa|dsa|ecdsa|ecdsa_sk|ed25519|ed25519_sk)$/i;

/** PEM (RFC 7468) of every kind, OpenPGP's armour, SSH2's (RFC 4716 style) and PuTTY's. */
const privateText =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----|PuTTY-User-Key-File-\d/;

/** Base64 of `-----BEGIN `, as in a kubeconfig's client-key-data; the label follows within 40 bytes. */
const encodedPem = /LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,66}/g;

/** Bytes that one match of the patterns can span. */
const longestMatch = 128;

const javaKeyStores = [0xfeedfeed, 0xcececece];

/** True where the name alone says that a file holds a private key. */
export function hasPrivateName(name: string): boolean {
  return privateName.test(name);
}

/** Looks at a file as it streams by, chunk by chunk. */
export class PrivateKeyScanner {
  #tail = '';
  #head: Buffer = Buffer.alloc(0);
  #size = 0;
  #found = false;

  /** The next bytes of the file. */
  push(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#head.length < 64) this.#head = Buffer.concat([this.#head, chunk.subarray(0, 64)]);
    if (this.#found) return;
    const text = this.#tail + chunk.toString('latin1');
    this.#found = holdsPem(text);
    this.#tail = text.slice(-longestMatch);
  }

  /** True where the bytes pushed so far, taken as the whole file, hold a private key. */
  get found(): boolean {
    return this.#found || isPrivateDer(this.#head, this.#size) || isKeyStore(this.#head);
  }
}

function holdsPem(text: string): boolean {
  if (privateText.test(text)) return true;
  return [...text.matchAll(encodedPem)].some(([encoded]) =>
    /^-----BEGIN [A-Z0-9 ]*PRIVATE KEY/.test(Buffer.from(encoded, 'base64').toString('latin1')),
  );
}

function isKeyStore(head: Buffer): boolean {
  return head.length >= 4 && javaKeyStores.includes(head.readUInt32BE(0));
}

interface Element {
  tag: number;
  /** Offset and length of the content, in bytes. */
  start: number;
  length: number;
}

/** One tag-length-value header of DER (X.690, 8.1) whose length takes at most four bytes; tags of one byte only. */
function elementAt(bytes: Buffer, offset: number): Element | undefined {
  const tag = bytes[offset];
  const first = bytes[offset + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return { tag, start: offset + 2, length: first };
  const count = first & 0x7f;
  if (count === 0 || count > 4 || offset + 2 + count > bytes.length) return undefined;
  return { tag, start: offset + 2 + count, length: bytes.readUIntBE(offset + 2, count) };
}

const der = { integer: 0x02, octetString: 0x04, objectIdentifier: 0x06, sequence: 0x30 } as const;

/** Object identifiers 1.2.840.113549.1.5.* (PKCS #5) and 1.2.840.113549.1.12.1.* (PKCS #12): encryption by password. */
const passwordSchemes = ['2a864886f70d0105', '2a864886f70d010c01'];

/**
 * True for a file that is one DER SEQUENCE of a private key: PKCS #8 (RFC 5958: version 0 or 1, AlgorithmIdentifier),
 * encrypted PKCS #8 (an AlgorithmIdentifier of a password scheme first), PKCS #1 (RFC 8017: version 0 or 1, a number),
 * SEC 1 (RFC 5915: version 1, OCTET STRING), DSA as OpenSSL writes it, PKCS #12 (RFC 7292: version 3, SEQUENCE).
 * @param head at least the first 64 bytes, or all there are
 */
function isPrivateDer(head: Buffer, size: number): boolean {
  const outer = elementAt(head, 0);
  if (outer?.tag !== der.sequence || outer.start + outer.length !== size) return false;
  const first = elementAt(head, outer.start);
  if (first === undefined) return false;
  if (first.tag === der.sequence) {
    const scheme = elementAt(head, first.start);
    if (scheme?.tag !== der.objectIdentifier) return false;
    const identifier = head.subarray(scheme.start, scheme.start + scheme.length).toString('hex');
    return passwordSchemes.some((start) => identifier.startsWith(start));
  }
  if (first.tag !== der.integer || first.length !== 1) return false;
  const version = head[first.start];
  const next = elementAt(head, first.start + 1)?.tag;
  if (next === der.sequence) return version === 0 || version === 1 || version === 3;
  if (next === der.integer) return version === 0 || version === 1;
  return next === der.octetString && version === 1;
}
