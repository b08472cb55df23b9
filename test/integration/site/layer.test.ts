import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSiteLayer } from '../../../src/site/index.ts';

let folder: string;
let sealedFolder: string;
const owner = { uid: 1_065_535, gid: 100_007 };
let snpguest: string;
const list = `d 0755 - nvflare\nf 0644 ${'ab'.repeat(32)} nvflare/x\n`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layer-test-'));
  sealedFolder = join(folder, 'sealed');
  await mkdir(join(sealedFolder, 'nvflare/start up'), { recursive: true });
  await writeFile(join(sealedFolder, 'nvflare/start up/client "1".key'), 'the private key');
  await chmod(join(sealedFolder, 'nvflare/start up/client "1".key'), 0o600);
  await chmod(join(sealedFolder, 'nvflare/start up'), 0o750);
  snpguest = join(folder, 'snpguest');
  await writeFile(snpguest, '#!/bin/sh\n', { mode: 0o600 });
});
afterAll(() => rm(folder, { recursive: true }));

let count = 0;
async function make(umask: number, more: object = {}): Promise<string> {
  const work = join(folder, `work-${++count}`);
  await mkdir(work, { mode: 0o700 });
  const file = join(work, 'site.squashfs');
  const before = process.umask(umask);
  try {
    await makeSiteLayer(
      {
        runtimeConfig: { ociVersion: '1.0.2', process: { args: ['/x'] } },
        ...{ mountPoints: ['/dev', '/applog'], ids: { first: 65536, count: 4294901759 } },
        ...{ userConfigList: list, sealedFolder, owner, snpguest },
        share: { allowed: false, writable: false },
        ...more,
      },
      { file, workDirectory: work },
    );
  } finally {
    process.umask(before);
  }
  return file;
}

const describeLayer = (file: string) =>
  execFileSync('rdsquashfs', ['--describe', file], { encoding: 'utf8' }).trim().split('\n');
const cat = (file: string, path: string) =>
  execFileSync('rdsquashfs', ['--cat', path, file], { encoding: 'utf8' });
const digest = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

describe('makeSiteLayer', () => {
  it('gives everything but the sealed part of user_config to 0:0, with nothing set-id, no device and no name outside of usr and etc', async () => {
    const lines = describeLayer(await make(0o022));
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines) {
      const [, kind, , mode, numbers] =
        /^(dir|file|slink|nod|pipe|sock) (".*"|\S+) (0[0-7]+) (\d+ \d+)/.exec(line) ?? [];
      expect(numbers, line).toBe(line.includes('user_config.sealed') ? `${owner.uid} ${owner.gid}` : '0 0');
      expect(['dir', 'file', 'slink'], line).toContain(kind);
      expect(Number.parseInt(mode!, 8) & 0o7000, line).toBe(0);
      expect(line).toMatch(/^\w+ "?\/?(usr|etc|\s)/);
    }
  });

  it('has modes and bytes that do not depend on umask, time or the folder it was made in', async () => {
    const first = await digest(await make(0o022));
    await utimes(snpguest, 1, 1);
    await utimes(sealedFolder, 1, 1);
    expect(await digest(await make(0o077))).toBe(first);
    expect(await digest(await make(0))).toBe(first);
  });

  it('makes programs executable, the rest 0644, folders 0755', async () => {
    const text = describeLayer(await make(0o077)).join('\n');
    for (const program of [
      'lock',
      'keep-address',
      'workload-start',
      'workload-ended',
      'mount-share',
      'share-conf',
      'dhcp.sh',
      'host-bin/snpguest',
      'host-bin/libexec/snpguest',
      'attest/watch',
    ])
      expect(text).toMatch(new RegExp(`^file "?/?usr/lib/cvm/${program}"? 0?755 0 0`, 'm'));
    for (const file of ['user_config.list', 'workload/config.json', 'units/cvm.target', 'modules'])
      expect(text).toMatch(new RegExp(`^file "?/?usr/lib/cvm/${file}"? 0?644 0 0`, 'm'));
    for (const path of ['usr/lib/cvm', 'usr/lib/cvm/empty', 'usr/lib/cvm/etc-systemd/system', 'etc'])
      expect(text).toMatch(new RegExp(`^dir "?/?${path}"? 0?755 0 0`, 'm'));
  });

  it('keeps content and permissions of what is sealed of user_config, whatever the names, and gives it to its owner', async () => {
    const file = await make(0o022);
    const text = describeLayer(file).join('\n');
    expect(text).toMatch(/^file ".*nvflare\/start up\/client \\"1\\"\.key" 0?600 1065535 100007$/m);
    expect(text).toMatch(/^dir ".*user_config\.sealed\/nvflare\/start up" 0?750 1065535 100007$/m);
    expect(text).toMatch(/^dir "?\/?usr\/lib\/cvm\/user_config\.sealed"? 0?755 1065535 100007$/m);
    expect(cat(file, 'usr/lib/cvm/user_config.sealed/nvflare/start up/client "1".key')).toBe(
      'the private key',
    );
  });

  it('copies nothing of what is sealed of user_config to its work folder', async () => {
    const big = join(folder, 'big');
    await mkdir(big);
    // A hole: reading it back is all that it costs.
    await writeFile(join(big, 'model'), '');
    await truncate(join(big, 'model'), 2 ** 30);
    const file = await make(0o022, { sealedFolder: big });
    expect(describeLayer(file).join('\n')).toMatch(/user_config\.sealed\/model"? 0?644 /);
    const staged = join(dirname(file), 'site');
    for (const entry of await readdir(staged, { recursive: true, withFileTypes: true }))
      expect(entry.name).not.toBe('model');
    expect((await stat(file)).size).toBeLessThan(2 ** 22);
  });

  it('holds the seal of user_config, the runtime configuration, and nothing for systemd to mount', async () => {
    const file = await make(0o022);
    expect(cat(file, 'usr/lib/cvm/user_config.list')).toBe(list);
    expect(JSON.parse(cat(file, 'usr/lib/cvm/workload/config.json'))).toEqual({
      ociVersion: '1.0.2',
      process: { args: ['/x'] },
    });
    expect(cat(file, 'usr/lib/cvm/workload/mount-points')).toBe('/dev\n/applog\n');
    expect(cat(file, 'usr/lib/cvm/workload/ids')).toBe("first_id='65536'\nid_count='4294901759'\n");
    expect(cat(file, 'etc/fstab')).toBe('');
    expect(cat(file, 'etc/crypttab')).toBe('');
  });

  it('has no units but ours, and leads the network files to what InitApp writes', async () => {
    const text = describeLayer(await make(0o022)).join('\n');
    const units = [...text.matchAll(/usr\/lib\/cvm\/units\/(\S+?)"? /g)].map((match) => match[1]);
    expect(units.sort()).toEqual([
      'container.slice',
      'cvm-dhcp.service',
      'cvm-lock.service',
      'cvm-nfs.service',
      'cvm-report.socket',
      'cvm-report@.service',
      'cvm-workload-log.service',
      'cvm-workload-space.service',
      'cvm-workload.service',
      'cvm.target',
    ]);
    for (const name of ['resolv.conf', 'hosts', 'hostname'])
      expect(text).toMatch(new RegExp(`^slink "?/?etc/${name}"? \\S+ 0 0 "?/run/cvm/etc/${name}`, 'm'));
  });

  it('has what attests again, and its pinned certificate, only where the site wants it', async () => {
    const attestation = {
      client: snpguest,
      kbsUrl: "https://kbs.example.org/it's",
      kbsPath: 'keys/root/0123456789ab',
      kbsCa: 'the certificate',
      frequency: 120,
      silence: 3600,
    };
    const file = await make(0o077, { attestation });
    expect(cat(file, 'usr/lib/cvm/attest/settings')).toBe(
      `kbs_url='https://kbs.example.org/it'\\''s'\nkbs_path='keys/root/0123456789ab'\ncheck_frequency='120'\nsilence_seconds='3600'\n`,
    );
    expect(cat(file, 'usr/lib/cvm/attest/kbs-ca.pem')).toBe('the certificate');
    expect(describeLayer(file).join('\n')).toMatch(
      /^file "?\/?usr\/lib\/cvm\/attest\/kbs-client"? 0?755 0 0/m,
    );
    const workload = 'usr/lib/cvm/units/cvm-workload.service';
    expect(cat(file, workload)).toMatch(/^\[Unit\]\nRequires=cvm-attestation\.service\nAfter=/m);
    expect(cat(file, 'usr/lib/cvm/units/cvm-attestation.service')).not.toContain('Condition');
    const without = await make(0o077);
    const text = describeLayer(without).join('\n');
    for (const name of ['settings', 'kbs-ca.pem', 'kbs-client']) expect(text).not.toContain(`attest/${name}`);
    expect(text).not.toContain('units/cvm-attestation.service');
    expect(cat(without, workload)).not.toContain('attestation');
  });

  it('shows the container our snpguest, with the administrator’s behind it', async () => {
    const file = await make(0o022);
    expect(cat(file, 'usr/lib/cvm/host-bin/snpguest')).toContain('has no /dev/sev-guest');
    expect(cat(file, 'usr/lib/cvm/host-bin/libexec/snpguest')).toBe('#!/bin/sh\n');
  });

  it('has neither snpguest nor anything of user_config where there are none', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    const file = await make(0o022, { sealedFolder: empty, snpguest: undefined });
    const text = describeLayer(file).join('\n');
    expect(text).toContain('usr/lib/cvm/host-bin');
    expect(text).not.toMatch(/host-bin\/\S*snpguest/);
    expect(text).toMatch(/^dir "?\/?usr\/lib\/cvm\/user_config\.sealed"? /m);
    expect(text).not.toContain('user_config.sealed/');
  });

  it('lets NFS modules in only where a share is allowed, and tells the VM whether it is', async () => {
    const modules = (file: string) => cat(file, 'usr/lib/cvm/modules').replaceAll(/#.*/g, '').split(/\s+/);
    const without = await make(0o022);
    expect(cat(without, 'usr/lib/cvm/share')).toBe('share_allowed=no\nshare_access=ro\n');
    expect(modules(without).join(' ')).not.toContain('nfs');
    const allowed = await make(0o022, { share: { allowed: true, writable: true } });
    expect(cat(allowed, 'usr/lib/cvm/share')).toBe('share_allowed=yes\nshare_access=rw\n');
    expect(modules(allowed)).toContain('nfsv4');
  });

  it('covers the program that the kernel would run on words of an NFS server', async () => {
    const text = describeLayer(await make(0o022)).join('\n');
    expect(text).toMatch(/^file "?\/?usr\/sbin\/request-key"? 0?644 0 0/m);
  });

  it('stops when it is told to', async () => {
    const work = join(folder, 'stopped');
    await mkdir(work);
    const reason = new Error('stopped');
    await expect(
      makeSiteLayer(
        {
          ...{
            runtimeConfig: {},
            mountPoints: [],
            ids: { first: 1, count: 1 },
            userConfigList: '',
            sealedFolder,
            owner,
          },
          share: { allowed: false, writable: false },
        },
        { file: join(work, 'x'), workDirectory: work, signal: AbortSignal.abort(reason) },
      ),
    ).rejects.toBe(reason);
  });

  it('has the driver, the units and the scripts of a GPU only where the site has one', async () => {
    const without = await make(0o022);
    expect(describeLayer(without).join('\n')).not.toMatch(/gpu/);
    expect(cat(without, 'usr/lib/cvm/modules')).not.toMatch(/nvidia/);

    const file = await make(0o022, { gpu: { confidential: true } });
    const lines = describeLayer(file).join('\n');
    for (const script of ['make-nodes', 'set-ready', 'give-devices', 'ended'])
      expect(lines).toMatch(new RegExp(`^file usr/lib/cvm/gpu/${script} 0755 0 0`, 'm'));
    const units = 'usr/lib/cvm/units';
    expect(cat(file, `${units}/cvm-workload.service`)).toMatch(/^Requires=cvm-gpu\.service$/m);
    expect(cat(file, `${units}/container.slice`)).toMatch(/^DeviceAllow=char-nvidia rw$/m);
    // systemd would go on without a drop-in that it cannot read.
    expect(lines).not.toMatch(/units\/\S*\.d\b/);
    expect(cat(file, `${units}/cvm-gpu.service`)).toMatch(/^FailureAction=poweroff-force$/m);
    expect(cat(file, 'usr/lib/cvm/gpu/settings')).toBe("gpu_confidential='yes'\n");
    const modules = cat(file, 'usr/lib/cvm/modules').replaceAll(/^#.*\n/gm, '');
    expect(modules).toBe('ecdsa_generic\necdh_generic\nnvidia\nnvidia_uvm\n');
  });

  it('takes a GPU outside of confidential-computing mode only where it is told to', async () => {
    const file = await make(0o022, { gpu: { confidential: false } });
    expect(cat(file, 'usr/lib/cvm/gpu/settings')).toBe("gpu_confidential='no'\n");
  });
});
