import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cdiSpecification } from './cdi-specification.ts';
import { changed, give } from './gpu-container.ts';
import { type GpuScripts, gpuScripts } from './gpu-scripts.ts';

let scripts: GpuScripts;
beforeEach(async () => {
  scripts = await gpuScripts();
});
afterEach(() => scripts[Symbol.asyncDispose]());

const hook = (more: object) =>
  changed(({ containerEdits: { hooks } }) => {
    Object.assign(hooks[0]!, more);
  });
const link = (value: string) => hook({ args: ['nvidia-cdi-hook', 'create-symlinks', '--link', value] });
const mount = (more: object) =>
  changed(({ containerEdits: { mounts } }) => {
    Object.assign(mounts[0]!, more);
  });
const mountOf = (place: string) => mount({ hostPath: place, containerPath: place });
const device = (more: object) =>
  changed(({ containerEdits: { deviceNodes } }) => {
    Object.assign(deviceNodes[0]!, more);
  });
const edit = (more: object) => changed(({ containerEdits }) => void Object.assign(containerEdits, more));

describe('give-devices', () => {
  it.each([
    ['is no JSON', '{', /parse error/],
    ['is empty', '', /wrote no CDI specification/],
    ['holds two documents', JSON.stringify(cdiSpecification()).repeat(2), /is not one document/],
    ['is of another kind', { ...cdiSpecification(), kind: 'example.com/gpu' }, /not of nvidia.com\/gpu/],
    ['has no device "all"', { ...cdiSpecification(), devices: [] }, /does not have one device/],
    [
      'names no GPU',
      changed(({ devices }) => void Object.assign(devices[2]!, { containerEdits: {} })),
      /names no GPU/,
    ],
    ['names the attestation device', device({ path: '/dev/sev-guest' }), /names the device/],
    ['names a way out of /dev', device({ path: '/dev/nvidia0/../sev-guest' }), /names the device/],
    [
      'names a device with a second line',
      device({ path: '/dev/nvidia0\n/dev/sev-guest' }),
      /names the device/,
    ],
    ['makes a node of another device', device({ hostPath: '/dev/sev-guest' }), /makes another device/],
    ['makes a block device', device({ type: 'b' }), /makes another device/],
    ['gives numbers that the device has not', device({ major: 10, minor: 125 }), /other numbers for/],
    ['gives a number as text', device({ minor: '7' }), /other numbers for/],
    [
      'names a device that is none',
      device({ path: '/dev/nvidia9' }),
      /\/dev\/nvidia9 is no device of NVIDIA/,
    ],
    ['names a device of another driver', device({ path: '/dev/nvidia1' }), /\/dev\/nvidia1 is no device/],
    ['adds groups', edit({ additionalGids: [0] }), /adds groups/],
    ['adds a network device', edit({ netDevices: [{ name: 'eth0' }] }), /adds groups or network/],
    ['has edits of a kind not known', edit({ intelRdt: {} }), /intelRdt/],
    ['has edits that are no list', edit({ mounts: {} }), /no list/],
    ['has a device that is no map', edit({ deviceNodes: ['/dev/nvidia0'] }), /no map/],
    ['preloads a library', edit({ env: ['LD_PRELOAD=/x.so'] }), /sets the variable/],
    [
      'sets a variable with a second line',
      edit({ env: ['NVIDIA_A=b\nLD_PRELOAD=/x.so'] }),
      /sets the variable/,
    ],
    ['mounts the vault', mountOf('/vault'), /mounts/],
    ['mounts the sealed kit', mountOf('/usr/lib/cvm/user_config.sealed'), /mounts/],
    ['mounts users', mountOf('/etc/nvidia/../passwd.json'), /mounts/],
    ['mounts all settings', mountOf('/etc'), /mounts/],
    ['mounts another library', mountOf('/usr/lib/x86_64-linux-gnu/libc.so.6'), /mounts/],
    ['mounts a folder up', mountOf('/usr/lib/x86_64-linux-gnu/../libnvidia/../../etc/shadow'), /mounts/],
    ['mounts over another file', mount({ containerPath: '/host/bin/snpguest' }), /mounts/],
    ['mounts writable', mount({ options: ['rw', 'bind'] }), /another way than read-only/],
    ['mounts as another type', mount({ type: 'proc' }), /another way than read-only/],
    ['runs a shell', hook({ path: '/bin/sh' }), /has the hook/],
    ['runs a program of the image', hook({ path: '/run/cvm/workload/rootfs/hook' }), /has the hook/],
    ['runs at another time', hook({ hookName: 'createRuntime' }), /has a hook at/],
    ['runs another hook', hook({ args: ['nvidia-cdi-hook', 'take-over'] }), /has the hook take-over$/],
    ['runs no hook', hook({ args: ['nvidia-cdi-hook'] }), /has the hook null/],
    [
      'runs another command of nvidia-ctk',
      hook({ path: '/usr/bin/nvidia-ctk', args: ['nvidia-ctk', 'system'] }),
      /has the hook/,
    ],
    [
      'gives a hook an option not known',
      hook({ args: ['x', 'create-symlinks', '--root', '/'] }),
      /the words/,
    ],
    ['gives a hook a word alone', hook({ args: ['x', 'update-ldcache', '--folder'] }), /the words/],
    ['gives a hook words that are no texts', hook({ args: ['x', 7] }), /without words/],
    [
      'links out of the folder of libraries',
      link('libcuda.so.1::/usr/lib/x86_64-linux-gnu/../../../etc/x'),
      /the words/,
    ],
    ['links to somewhere above', link('../../../../etc/shadow::/usr/lib/x86_64-linux-gnu/x'), /the words/],
    ['links elsewhere', link('libcuda.so.1::/etc/ld.so.preload'), /the words/],
  ])('refuses a specification that %s, and leaves no configuration', async (_, specification, why) => {
    const { status, said, config } = await give(scripts, specification);
    expect(said).toMatch(/^FAILED E74: /);
    expect(said).toMatch(why);
    expect(said.split('\n')).toHaveLength(1);
    expect({ status, config }).toEqual({ status: 1, config: undefined });
  });
});
