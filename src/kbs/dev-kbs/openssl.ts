import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../host/run.ts';

/** Names and addresses under which guests and tests reach the development KBS; 10.0.2.100 is QEMU's forwarded one. */
const names = ['IP:10.0.2.100', 'IP:127.0.0.1', 'DNS:localhost', 'DNS:kbs.cvm.internal'];

/** Replaces the machine's openssl.cnf, whose default extensions would be added to ours. */
const configuration = `[req]
distinguished_name = subject
prompt = no
[subject]
CN = cvm-builder development KBS
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${names.join(', ')}
`;

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];

/** A positive 127-bit serial number. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0]! &= 0x7f;
  return `0x${bytes.toString('hex')}`;
}

export interface KeyPairFiles {
  keyFile: string;
  certFile: string;
}

/** Makes a self-signed P-256 certificate authority in `folder`, which the caller keeps private. */
export async function makeAuthority(folder: string): Promise<KeyPairFiles> {
  const config = join(folder, 'openssl.cnf');
  const made = { keyFile: join(folder, 'ca.key'), certFile: join(folder, 'ca.crt') };
  await writeFile(config, configuration);
  const out = ['-keyout', made.keyFile, '-out', made.certFile];
  const x509 = ['-x509', '-extensions', 'authority', '-days', '3650', '-sha256', '-set_serial', serial()];
  await run('openssl', [
    'req',
    '-config',
    config,
    '-subj',
    '/CN=cvm-builder development CA',
    ...newKey,
    ...x509,
    ...out,
  ]);
  return made;
}

/** Makes a P-256 server key in `folder` and a certificate for it, valid for 30 days, under an authority. */
export async function makeServerCertificate(folder: string, authority: KeyPairFiles): Promise<KeyPairFiles> {
  const config = join(folder, 'openssl.cnf');
  const request = join(folder, 'server.csr');
  const made = { keyFile: join(folder, 'server.key'), certFile: join(folder, 'server.crt') };
  await writeFile(config, configuration);
  await run('openssl', ['req', '-config', config, ...newKey, '-keyout', made.keyFile, '-out', request]);
  const signer = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-set_serial', serial()];
  const extensions = ['-extfile', config, '-extensions', 'server', '-days', '30', '-sha256'];
  await run('openssl', ['x509', '-req', '-in', request, ...signer, ...extensions, '-out', made.certFile]);
  return made;
}
