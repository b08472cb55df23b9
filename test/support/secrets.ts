import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { deflateRawSync, gzipSync } from 'node:zlib';

const pair = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pem = () => pair().export({ type: 'pkcs8', format: 'pem' }).toString();
const der = () => pair().export({ type: 'pkcs8', format: 'der' });
const base64 = (bytes: Buffer | string) => Buffer.from(bytes).toString('base64');
const word = () => randomBytes(12).toString('base64url');
const bytes = (...parts: (Buffer | string | number[])[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));

/** A zip archive of one file, deflated (APPNOTE.TXT, 4.3: local header, central directory, end). */
function zip(name: string, content: string): Buffer {
  const data = deflateRawSync(content);
  const [file, local, central, end] = [Buffer.from(name), ...[30, 46, 22].map((size) => Buffer.alloc(size))];
  local!.write('PK\x03\x04', 'latin1');
  local!.writeUInt16LE(8, 8);
  local!.writeUInt32LE(data.length, 18);
  local!.writeUInt32LE(content.length, 22);
  local!.writeUInt16LE(file!.length, 26);
  central!.write('PK\x01\x02', 'latin1');
  central!.writeUInt16LE(8, 10);
  central!.writeUInt32LE(data.length, 20);
  central!.writeUInt32LE(content.length, 24);
  central!.writeUInt16LE(file!.length, 28);
  end!.write('PK\x05\x06', 'latin1');
  end!.writeUInt16LE(1, 8);
  end!.writeUInt16LE(1, 10);
  end!.writeUInt32LE(46 + file!.length, 12);
  end!.writeUInt32LE(30 + file!.length + data.length, 16);
  return Buffer.concat([local!, file!, data, central!, file!, end!]);
}

/** A SQLite file's first page as far as anybody looks, and a row. */
const sqlite = (row: string) =>
  bytes('SQLite format 3\0', [0x10, 0, 1, 1, 0, 64, 32, 32], Buffer.alloc(76), row);

/**
 * One file of each way to keep a secret that this project knows of, by a name that is usual for it. No rule of the builder names most
 * of them: that they are sealed is for what is public to decide. Drawn anew at each call. Less than a block of a file system each.
 */
export function secretFiles(): Record<string, Buffer> {
  const jwk = pair().export({ format: 'jwk' });
  const files: Record<string, Buffer | string> = {
    'client.key': pem(),
    'encrypted.pem': createPrivateKey(pem())
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: word() })
      .toString(),
    // What no rule recognised while rules decided.
    'client_context.tenseal': bytes([0x0a, 0x80, 0x04], randomBytes(512), [0x12, 0x20], randomBytes(32)),
    'krb5.keytab': bytes([5, 2, 0, 0, 0, 60, 0, 1, 0, 11], 'EXAMPLE.ORG', [0, 18, 0, 32], randomBytes(32)),
    'jwk.json': JSON.stringify(jwk),
    'age.txt': `# public key: age1x\nAGE-SECRET-KEY-1${randomBytes(29).toString('hex').toUpperCase()}\n`,
    'wg0.conf': `[Interface]\nPrivateKey = ${base64(randomBytes(32))}\nAddress = 10.0.0.2/32\n`,
    id_raw: bytes('openssh-key-v1\0', [0, 0, 0, 4], 'none', randomBytes(160)),
    'ber.store': bytes([0x30, 0x80, 0x02, 1, 3, 0x30, 0x80], randomBytes(200), [0, 0, 0, 0]),
    'bcfks.store': bytes([0x30, 0x82, 1, 4, 0x30, 0x81, 0xc8], randomBytes(256)),
    'secring.gpg': bytes([0x95, 1, 0xd8, 4], randomBytes(470)),
    'utf16le.txt': bytes([0xff, 0xfe], Buffer.from(pem(), 'utf16le')),
    'utf16be.txt': bytes([0xfe, 0xff], Buffer.from(pem(), 'utf16le').swap16()),
    'pem.b64': base64(pem()),
    'der.b64': base64(der()),
    'trailing.der': bytes(der(), '\n\n'),
    'key.gz': gzipSync(pem()),
    'key.zip': zip('client.key', pem()),
    '.env': `DATABASE_URL=postgres://site:${word()}@db.example.org/site\n`,
    aws_credentials: `[default]\naws_access_key_id = AKIA${word()}\naws_secret_access_key = ${base64(randomBytes(30))}\n`,
    'gcp.json': JSON.stringify({ type: 'service_account', private_key: pem() }),
    'azure.json': JSON.stringify({ clientId: word(), clientSecret: word(), tenantId: word() }),
    kubeconfig: `apiVersion: v1\nusers:\n- name: site\n  user:\n    token: ${word()}\n`,
    'k8s-secret.yaml': `apiVersion: v1\nkind: Secret\ndata:\n  db: ${base64(word())}\n`,
    // What nobody named.
    htpasswd: `site:$apr1$${word()}$${word()}\n`,
    '.netrc': `machine example.org login site password ${word()}\n`,
    '.pgpass': `db.example.org:5432:site:site:${word()}\n`,
    'docker-config.json': JSON.stringify({
      auths: { 'registry.example.org': { auth: base64(`site:${word()}`) } },
    }),
    'terraform.tfstate': JSON.stringify({ version: 4, resources: [{ attributes: { password: word() } }] }),
    'cache.sqlite': sqlite(`session${word()}`),
    'model.pickle': bytes([0x80, 4, 0x95, 30, 0, 0, 0, 0, 0, 0, 0, 0x7d, 0x8c, 16], word(), [0x73, 0x2e]),
    'my.cnf': `[client]\nuser=site\npassword=${word()}\n`,
    'rclone.conf': `[store]\ntype = s3\nsecret_access_key = ${word()}\n`,
    '.npmrc': `//registry.example.org/:_authToken=npm_${word()}\n`,
    '.vault-token': `hvs.${word()}`,
    'kaggle.json': JSON.stringify({ username: 'site', key: randomBytes(16).toString('hex') }),
    'totp.txt': `otpauth://totp/site?secret=${word()}\n`,
    'cookies.txt': `.example.org\tTRUE\t/\tTRUE\t0\tsession\t${word()}\n`,
    'seed.txt': `the twelve words of a wallet ${word()}\n`,
    'vault.kdbx': bytes([0x03, 0xd9, 0xa2, 0x9a, 0x67, 0xfb, 0x4b, 0xb5], randomBytes(120)),
    'ansible-vault.yml': `$ANSIBLE_VAULT;1.1;AES256\n${randomBytes(40).toString('hex')}\n`,
    'train.parquet': bytes('PAR1', randomBytes(64), 'PAR1'),
    'patients.csv': `name,born\n${word()},1970-01-01\n`,
  };
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)]));
}
