import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firmwareImage, hashTableGuid, resetBlockGuid, words } from '../../unit/measure/firmware-image.ts';
import { bytesOf, type Vector, vectorsFile } from '../../unit/measure/vectors.ts';

const root = join(import.meta.dirname, '../../..');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'measure-'));
  await write('OVMF.fd', firmwareImage());
  await write('vmlinuz', kernel());
  await write('initrd.img', Buffer.alloc(3_000_000, 'initrd'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, bytes: Buffer | string): Promise<string> {
  await writeFile(join(folder, name), bytes);
  return join(folder, name);
}

/** Something that QEMU would take for a bzImage. */
function kernel(): Buffer {
  const bytes = Buffer.alloc(20_000, 'kernel');
  bytes.write('HdrS', 0x202, 'latin1');
  return bytes;
}

async function measure(...args: string[]) {
  const { stdout, stderr, exitCode } = await execa(
    process.execPath,
    [join(root, 'src/cli/main.ts'), 'measure', ...args],
    { cwd: folder, reject: false },
  );
  return { stdout, stderr, status: exitCode };
}

const files = [
  '--ovmf',
  'OVMF.fd',
  '--kernel',
  'vmlinuz',
  '--initrd',
  'initrd.img',
  '--append',
  'console=ttyS0',
];
const shape = ['--vcpus', '2', '--cpu', 'EPYC-v4'];

/** A vector as arguments, or undefined where QEMU could not start its firmware. */
async function argumentsOf(vector: Vector): Promise<string[] | undefined> {
  const { mode, vmm = 'QEMU', ovmf, kernel: image, initrd, append, vcpu_fms } = vector;
  const firmware = bytesOf(ovmf);
  if (mode === 'snp:svsm' || vector.error) return undefined;
  if (mode.startsWith('snp') && vmm === 'QEMU' && firmware.length % 65_536 !== 0) return undefined;
  const name = createHash('sha256').update(vector.id).digest('hex').slice(0, 16);
  const args = ['--mode', mode, '--vmm', vmm, '--ovmf', await write(`${name}.fd`, firmware)];
  const add = (option: string, value: string | number | undefined | null) => {
    if (value !== undefined && value !== null) args.push(option, String(value));
  };
  if (image) args.push('--kernel', await write(`${name}.kernel`, bytesOf(image)));
  if (initrd) args.push('--initrd', await write(`${name}.initrd`, bytesOf(initrd)));
  if (image) add('--append', append);
  add('--vcpus', vector.vcpus);
  add('--cpu', vcpu_fms?.join('/') ?? vector.vcpu_sig ?? vector.vcpu_type);
  add('--guest-features', vector.guest_features);
  add('--ovmf-hash', vector.snp_ovmf_hash);
  // A kernel of the vectors is some bytes, no bzImage; such ones only the library takes.
  return image && bytesOf(image).toString('latin1', 0x202, 0x206) !== 'HdrS' ? undefined : args;
}

describe('cvm measure', () => {
  it('prints the digests of the published vectors', async () => {
    let compared = 0;
    for (const vector of vectorsFile.vectors) {
      const args = await argumentsOf(vector);
      if (args === undefined) continue;
      const { stdout, stderr } = await measure(...args, '--json');
      expect({ id: vector.id, stderr, hex: JSON.parse(stdout).digests[0].hex }).toMatchObject({
        hex: vector.expected,
      });
      compared++;
    }
    expect(compared).toBeGreaterThan(8);
  });

  it('gives every combination of counts, models and features', async () => {
    const { stdout, stderr, status } = await measure(
      ...files,
      ...['--vcpus', '1,3-4', '--cpu', 'EPYC-v4', '--cpu', '25/1/1'],
      ...['--guest-features', '0x1', '--guest-features', '0x21', '--json'],
    );
    expect({ stderr, status }).toEqual({
      status: 0,
      stderr: 'warning: SEV_FEATURES is 0x21; upstream Linux and QEMU start guests with 0x1',
    });
    const { digests } = JSON.parse(stdout);
    expect(
      digests.map(({ vcpus, cpu, guest_features }: Record<string, unknown>) => [vcpus, cpu, guest_features]),
    ).toEqual(
      ['0x1', '0x21'].flatMap((features) =>
        ['EPYC-v4', '25/1/1'].flatMap((cpu) => [1, 3, 4].map((vcpus) => [vcpus, cpu, features])),
      ),
    );
    expect(new Set(digests.map(({ hex }: { hex: string }) => hex)).size).toBe(12);
    for (const { mode, vmm, hex, base64 } of digests) {
      expect({ mode, vmm }).toEqual({ mode: 'snp', vmm: 'qemu' });
      expect(Buffer.from(hex, 'hex').toString('base64')).toBe(base64);
    }
    const alone = JSON.parse((await measure(...files, '--vcpus', '4', '--cpu', '0xa00f11', '--json')).stdout);
    expect(alone.digests[0].hex).toBe(digests[5].hex);
  });

  it('shows people the same digest, labelled in both encodings, and what went into it', async () => {
    const json = JSON.parse((await measure(...files, ...shape, '--json')).stdout);
    const { stdout } = await measure(...files, ...shape);
    expect(stdout).toContain(`  hex       ${json.digests[0].hex}\n  base64    ${json.digests[0].base64}`);
    expect(stdout).toContain('snp, QEMU, 2 vCPUs, EPYC-v4, guest features 0x1');
    expect(stdout).toContain(createHash('sha256').update(kernel()).digest('hex'));
    expect(stdout).toContain('"console=ttyS0"');
    expect(stdout).toContain('unknown: its SHA-256 is not in the table of known firmware');
  });

  it('goes on from the digest of the firmware alone', async () => {
    const hash = JSON.parse((await measure('--ovmf', 'OVMF.fd', '--mode', 'snp:ovmf-hash', '--json')).stdout);
    const from = await measure(...files, ...shape, '--ovmf-hash', hash.digests[0].hex, '--json');
    const whole = await measure(...files, ...shape, '--json');
    expect(JSON.parse(from.stdout).digests).toEqual(JSON.parse(whole.stdout).digests);
  });

  it('explains each stage in order, and ends with the digest', async () => {
    const { stdout } = await measure(...files, ...shape, '--explain', '--json');
    const { steps, digests } = JSON.parse(stdout);
    expect(
      steps.map(({ name, address, size, type }: Record<string, unknown>) => [name, address, size, type]),
    ).toEqual([
      ['firmware', '0xffff0000', 65_536, 'normal'],
      ['SNP_SEC_MEM', '0x800000', 0x9000, 'zero'],
      ['SNP_SEC_MEM', '0x80a000', 0x3000, 'zero'],
      ['SNP_SECRETS', '0x80d000', 4096, 'secrets'],
      ['CPUID', '0x80e000', 4096, 'cpuid'],
      ['SNP_SVSM_CAA', '0x80f000', 4096, 'zero'],
      ['SNP_SEC_MEM', '0x811000', 0x1f000, 'zero'],
      ['SNP_KERNEL_HASHES', '0x810000', 4096, 'normal'],
      ['vCPU 0', '0xfffffffff000', 4096, 'vmsa'],
      ['vCPU 1', '0xfffffffff000', 4096, 'vmsa'],
    ]);
    expect(steps.at(-1).digest).toBe(digests[0].hex);
    const text = (await measure(...files, ...shape, '--explain')).stdout.split('\n');
    for (const { name, digest } of steps) {
      expect(text.filter((line) => line.startsWith(name) && line.endsWith(digest))).toHaveLength(1);
    }
  });

  it('writes a reference value message that a KBS takes, in both encodings', async () => {
    const { digests } = JSON.parse((await measure(...files, ...shape, '--json')).stdout);
    const message = JSON.parse((await measure(...files, ...shape, '--rvps')).stdout);
    expect(message).toEqual({ version: '0.1.0', type: 'sample', payload: expect.any(String) });
    const payload = JSON.parse(Buffer.from(message.payload, 'base64').toString());
    expect(payload.snp_launch_measurement.toSorted()).toEqual([digests[0].hex, digests[0].base64].sort());
  });

  it('is quiet where its reader has gone', async () => {
    const command = `'${process.execPath}' '${join(root, 'src/cli/main.ts')}' measure ${files.join(' ')} --vcpus 1-4096 --cpu EPYC | head -n 1`;
    const { stderr } = await execa('bash', ['-c', command], { cwd: folder });
    expect(stderr).toBe('');
  });
});

describe('ID blocks of cvm measure', () => {
  const pem = (namedCurve: string) =>
    generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'sec1', format: 'pem' });
  const key = async (name: string, text: string | Buffer) => {
    const path = await write(name, text);
    await chmod(path, 0o600);
    return path;
  };

  it('hold the digest and are signed by both keys, in the form of QEMU', async () => {
    const [id, author] = [await key('id.pem', pem('secp384r1')), await key('author.pem', pem('secp384r1'))];
    const { stdout, stderr } = await measure(
      ...files,
      ...shape,
      ...[
        '--id-key',
        id,
        '--author-key',
        author,
        '--family-id',
        '0f'.repeat(16),
        '--guest-svn',
        '7',
        '--json',
      ],
    );
    expect(stderr).toBe('');
    const { digests, id_key_digest, author_key_digest } = JSON.parse(stdout);
    const block = Buffer.from(digests[0].id_block, 'base64');
    const page = Buffer.from(digests[0].id_auth, 'base64');
    expect([block.length, page.length]).toEqual([96, 4096]);
    expect(block.toString('hex', 0, 48)).toBe(digests[0].hex);
    expect(block.toString('hex', 48, 64)).toBe('0f'.repeat(16));
    expect([block.readUInt32LE(0x54), block.readBigUInt64LE(0x58)]).toEqual([7, 0x30000n]);
    const sha384 = (bytes: Buffer) => createHash('sha384').update(bytes).digest('hex');
    expect(id_key_digest).toBe(sha384(page.subarray(0x240, 0x240 + 1028)));
    expect(author_key_digest).toBe(sha384(page.subarray(0x880, 0x880 + 1028)));
    const fixed = (at: number) => Buffer.from(page.subarray(at, at + 48)).reverse();
    const signed = (at: number) => Buffer.concat([fixed(at), fixed(at + 72)]);
    const publicKey = (at: number) =>
      createPublicKey({
        key: {
          kty: 'EC',
          crv: 'P-384',
          x: fixed(at + 4).toString('base64url'),
          y: fixed(at + 76).toString('base64url'),
        },
        format: 'jwk',
      });
    const holds = (data: Buffer, keyAt: number, signatureAt: number) =>
      verify('sha384', data, { key: publicKey(keyAt), dsaEncoding: 'ieee-p1363' }, signed(signatureAt));
    expect(holds(block, 0x240, 0x40)).toBe(true);
    expect(holds(page.subarray(0x240, 0x240 + 1028), 0x880, 0x680)).toBe(true);
  });

  it('without an author key, or with a key that others can read, come with a warning', async () => {
    const path = await write('open.pem', pem('secp384r1'));
    await chmod(path, 0o644);
    const { stdout, stderr } = await measure(...files, ...shape, '--id-key', path);
    expect(stderr).toMatch(/warning: .*open\.pem can be read by other accounts/);
    expect(stderr).toMatch(/warning: without --author-key/);
    expect(stdout).toMatch(/^ {2}id-block {2}\S{128}$/m);
  });

  it.each([
    ['another curve', pem('prime256v1'), /prime256v1, expected an EC key on P-384/],
    ['no key', 'hello', /no private key in PEM form/],
    [
      'a public key',
      createPublicKey(pem('secp384r1')).export({ type: 'spki', format: 'pem' }),
      /no private key/,
    ],
    ['a large file', Buffer.alloc(70_000), /70000 bytes/],
  ])('refuse %s', async (_name, text, cause) => {
    const { stdout, stderr, status } = await measure(
      ...files,
      ...shape,
      '--id-key',
      await key('x.pem', text),
    );
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toMatch(cause);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe('cvm measure refuses', () => {
  const other = (name: string, args: string[]) => [name, args] as const;
  it.each([
    other('nothing to measure', []),
    other('no counts', [...files, '--cpu', 'EPYC']),
    other('no CPU model', [...files, '--vcpus', '1']),
    other('a model that cannot be predicted', [...files, '--vcpus', '1', '--cpu', 'host']),
    other('an initrd without a kernel', ['--ovmf', 'OVMF.fd', '--initrd', 'initrd.img', ...shape]),
    other('a command line without a kernel', ['--ovmf', 'OVMF.fd', '--append', 'x', ...shape]),
    other('two forms of output', [...files, ...shape, '--json', '--rvps']),
    other('to explain what has no stages', [...files, '--mode', 'sev', '--explain']),
    other('reference values of SEV', [...files, '--mode', 'sev', '--rvps']),
    other('EC2 in another mode than snp', [...files, '--mode', 'sev', '--vmm', 'ec2']),
    other('an author key alone', [...files, ...shape, '--author-key', 'a.pem']),
    other('an ID block of SEV-ES', [...files, ...shape, '--mode', 'seves', '--id-key', 'a.pem']),
    other('a firmware hash in another mode', [...files, '--mode', 'sev', '--ovmf-hash', 'ab'.repeat(48)]),
    other('a firmware hash of the wrong length', [...files, ...shape, '--ovmf-hash', 'ab']),
    other('files that are not there', ['--ovmf', 'none.fd', ...shape]),
    other('a folder as kernel', ['--ovmf', 'OVMF.fd', '--kernel', '.', ...shape]),
    other('a kernel that is none', ['--ovmf', 'OVMF.fd', '--kernel', 'initrd.img', ...shape]),
    other('an option that does not exist', [...files, ...shape, '--dtb', 'x']),
    other('a second bundle', ['a', 'b']),
    other('a bundle that is not there', ['cvm_000000000000']),
  ])('%s', async (_name, args) => {
    const { stdout, stderr, status } = await measure(...args);
    expect(stdout).toBe('');
    expect(status).toBeGreaterThan(0);
    expect(stderr).toMatch(/^error: /m);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  const resetOnly = (value: number): (readonly [string, Buffer])[] => [[resetBlockGuid, words(value)]];
  it.each([
    ['truncated firmware', firmwareImage().subarray(0, 40_000), /40000 bytes, expected a multiple of 4096/],
    ['a part of firmware', firmwareImage({ size: 0x1000 * 17 }), /expected a multiple of 65536/],
    ['firmware of another maker', Buffer.alloc(65_536, 0xff), /no SEV metadata entry/],
    ['an empty file', Buffer.alloc(0), /0 bytes/],
    [
      'firmware without an area for kernel hashes',
      firmwareImage({ sections: [[0x800000, 0x9000, 1]] }),
      /no SNP_KERNEL_HASHES section/,
    ],
    ['metadata it does not hold', firmwareImage({ entries: resetOnly(1) }), /no SEV metadata entry/],
    [
      'overlapping sections',
      firmwareImage({
        sections: [
          [0x800000, 0x2000, 1],
          [0x801000, 0x1000, 2],
        ],
      }),
      /at offset 0x[0-9a-f]+ has a SNP_SECRETS section at 0x801000 that overlaps/,
    ],
    ['an absurd length', firmwareImage({ sections: [[0, 0xffff_f000, 1]] }), /expected at most/],
    [
      'an unknown section',
      firmwareImage({ sections: [[0x800000, 0x1000, 9]] }),
      /has type 0x9, expected one of/,
    ],
    [
      'an area that is not measured',
      firmwareImage({
        entries: [
          [resetBlockGuid, words(1)],
          [hashTableGuid, words(0x900c00, 0x400)],
        ],
      }),
      /no SEV metadata entry/,
    ],
  ])('%s, naming file, offset and expectation', async (_name, image, cause) => {
    await write('bad.fd', image);
    const { stdout, stderr, status } = await measure('--ovmf', 'bad.fd', '--kernel', 'vmlinuz', ...shape);
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toMatch(cause);
    if (!/SNP_KERNEL_HASHES/.test(cause.source)) expect(stderr).toContain('bad.fd');
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
