import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runtimeConfig } from '../../../src/workload/index.ts';
import { type CdiSpecification, cdiSpecification } from './cdi-specification.ts';
import { type GpuScripts, gpuScripts } from './gpu-scripts.ts';

let scripts: GpuScripts;
let path: GpuScripts['path'];
let file: GpuScripts['file'];
let program: GpuScripts['program'];
let start: GpuScripts['start'];

beforeEach(async () => {
  scripts = await gpuScripts();
  ({ path, file, program, start } = scripts);
});
afterEach(() => scripts[Symbol.asyncDispose]());

/** /proc/devices. The kernel's memory devices (major 1) stand for those of the driver. */
const procDevices = `Character devices:
  1 nvidia
  4 tty
 10 misc
195 nvidia-caps
511 nvidia-uvm

Block devices:
  7 nvidia-not
  8 sd
`;

const stoodFor = { nvidia0: 'null', nvidiactl: 'zero', 'nvidia-uvm': 'full', 'nvidia-uvm-tools': 'random' };

const sealed = () =>
  runtimeConfig(
    {
      config: { config: { Cmd: ['/x'], Env: ['NVIDIA_VISIBLE_DEVICES=all', 'NVIDIA_DRIVER=1', 'A=b'] } },
      accounts: {},
    } as never,
    { hostname: 'site-1', userDataWritable: false, hostBin: true },
  ) as unknown as Configuration;

interface Configuration {
  process: { env: string[] };
  mounts: { destination: string; source: string; options: string[] }[];
  hooks: { createContainer: { path: string; args: string[]; env?: string[] }[] };
  linux: {
    devices: { path: string; major: number; minor: number }[];
    resources: { devices: { allow: boolean; major?: number; minor?: number; access: string }[] };
  };
}

/** Runs give-devices with this specification, and gives back the configuration that crun would get. */
async function give(specification: unknown) {
  await file('devices', procDevices);
  await file('config.json', JSON.stringify(sealed()));
  await file('spec.json', typeof specification === 'string' ? specification : JSON.stringify(specification));
  await program(
    'nvidia-ctk',
    `for word; do case $word in --output=*) cp ${path('spec.json')} "\${word#--output=}" ;; esac; done; echo "$*" > ${path('asked')}`,
  );
  for (const [name, target] of Object.entries(stoodFor)) {
    await mkdir(path('root/dev'), { recursive: true });
    await rm(path(`root/dev/${name}`), { force: true });
    await symlink(`/dev/${target}`, path(`root/dev/${name}`));
  }
  await symlink('/dev/tty', path('root/dev/nvidia1')).catch(() => {});
  const end = await start('give-devices', path('config.json'), path('devices'), path('root'));
  const text = await readFile(path('run/bundle/config.json'), 'utf8').catch(() => undefined);
  return { ...end, config: text === undefined ? undefined : (JSON.parse(text) as Configuration) };
}

/** The specification with something done to it. */
function changed(change: (specification: CdiSpecification) => void): CdiSpecification {
  const specification = cdiSpecification();
  change(specification);
  return specification;
}

describe('give-devices', () => {
  it('asks nvidia-ctk for a specification of this VM', async () => {
    await give(cdiSpecification());
    expect(await readFile(path('asked'), 'utf8')).toBe(
      `--quiet cdi generate --format=json --output=${path('run')}/cdi.json\n`,
    );
  });

  it('adds exactly the devices of the specification, with the numbers that the nodes have', async () => {
    const { config, ...end } = await give(cdiSpecification());
    expect(end).toEqual({ status: 0, said: '' });
    const before = sealed().linux;
    const numbers = [
      ['/dev/nvidia-uvm', 1, 7],
      ['/dev/nvidia-uvm-tools', 1, 8],
      ['/dev/nvidia0', 1, 3],
      ['/dev/nvidiactl', 1, 5],
    ] as const;
    const nodes = numbers.map(([path, major, minor]) => ({ path, major, minor }));
    expect(config!.linux.devices).toEqual([
      ...before.devices,
      ...nodes.map((node) => ({ ...node, type: 'c', fileMode: 0o666, uid: 0, gid: 0 })),
    ]);
    expect(config!.linux.resources.devices).toEqual([
      ...before.resources.devices,
      ...nodes.map(({ major, minor }) => ({ allow: true, type: 'c', major, minor, access: 'rw' })),
    ]);
  });

  it('adds its files read-only at their own places, and no option of the specification’s own', async () => {
    const { config } = await give(cdiSpecification());
    const before = sealed().mounts;
    expect(config!.mounts.slice(0, before.length)).toEqual(before);
    const added = config!.mounts.slice(before.length);
    expect(added).toHaveLength(5);
    for (const { source, destination, options } of added) {
      expect(destination).toBe(source);
      const socket = source === '/run/nvidia-persistenced/socket';
      expect(options).toEqual(['bind', 'ro', 'nosuid', 'nodev', ...(socket ? ['noexec'] : [])]);
    }
  });

  it('sets its variables over those of the image, and leaves the others', async () => {
    const { config } = await give(cdiSpecification());
    const env = config!.process.env;
    expect(env.filter((line) => line.startsWith('NVIDIA_VISIBLE_DEVICES='))).toEqual([
      'NVIDIA_VISIBLE_DEVICES=void',
    ]);
    expect(env).toEqual(expect.arrayContaining(['A=b', 'NVIDIA_DRIVER=1']));
  });

  it('runs its hooks after ours, without the one that looks into the image, and with an environment of our own', async () => {
    const { config } = await give(cdiSpecification());
    const before = sealed().hooks.createContainer;
    expect(config!.hooks.createContainer).toEqual([
      ...before,
      ...[
        ['create-symlinks', '--link', 'libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so'],
        ['update-ldcache', '--folder', '/usr/lib/x86_64-linux-gnu'],
        ['disable-device-node-modification'],
      ].map((words) => ({
        path: '/usr/bin/nvidia-cdi-hook',
        args: ['nvidia-cdi-hook', ...words],
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        timeout: 60,
      })),
    ]);
  });

  it('changes nothing else of what was sealed', async () => {
    const { config } = await give(cdiSpecification());
    const rest = (all: Configuration) => {
      const { process, mounts: _mounts, hooks: _hooks, linux, ...others } = all;
      const { env: _env, ...processRest } = process;
      const { devices: _devices, resources: _resources, ...linuxRest } = linux;
      return { others, processRest, linuxRest };
    };
    expect(rest(config!)).toEqual(rest(JSON.parse(JSON.stringify(sealed()))));
  });

  it('takes what other releases of the toolkit write as well', async () => {
    const { status, config } = await give(
      changed(({ containerEdits: { hooks, deviceNodes } }) => {
        hooks[0] = {
          hookName: 'createContainer',
          path: '/usr/bin/nvidia-ctk',
          args: [
            'nvidia-ctk',
            'hook',
            'create-symlinks',
            '--link=../libnvidia-allocator.so.1::/usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so',
          ],
        };
        hooks[2]!.args = ['nvidia-cdi-hook', 'update-ldcache', '--ldconfig-path', '@/sbin/ldconfig.real'];
        hooks.push({
          hookName: 'createContainer',
          path: '/usr/bin/nvidia-cdi-hook',
          args: ['nvidia-cdi-hook', 'chmod', '--mode', '755', '--path', '/dev/dri'],
        });
        Object.assign(deviceNodes[0]!, { hostPath: '/dev/nvidia-uvm', type: 'c', major: 1, minor: 7 });
        Object.assign(deviceNodes[1]!, { permissions: 'rwm', fileMode: 0o666, uid: 0, gid: 0 });
      }),
    );
    expect(status).toBe(0);
    const args = config!.hooks.createContainer.slice(2).map((hook) => hook.args);
    expect(args[0]!.slice(0, 4)).toEqual(['nvidia-ctk', 'hook', 'create-symlinks', '--link']);
    expect(args[1]!.at(-1)).toBe('@/sbin/ldconfig.real');
    expect(args.flat()).not.toContain('chmod');
  });

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
    ['mounts private keys', mountOf('/usr/lib/cvm/user_config.private'), /mounts/],
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
    const { status, said, config } = await give(specification);
    expect(said).toMatch(/^FAILED E74: /);
    expect(said).toMatch(why);
    expect(said.split('\n')).toHaveLength(1);
    expect({ status, config }).toEqual({ status: 1, config: undefined });
  });

  it('leaves no configuration of a run before', async () => {
    expect((await give(cdiSpecification())).config).toBeDefined();
    await rm(path('run/cdi.json'));
    expect((await give('{')).config).toBeUndefined();
  });

  it('refuses where nvidia-ctk fails, with its words', async () => {
    await give(cdiSpecification());
    await program('nvidia-ctk', 'echo "failed to initialize NVML: \\"Driver Not Loaded\\"" >&2; exit 1');
    expect(await start('give-devices', path('config.json'), path('devices'), path('root'))).toEqual({
      status: 1,
      said: 'FAILED E74: nvidia-ctk failed: failed to initialize NVML: Driver Not Loaded',
    });
  });
});
