import { readFile, rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cdiSpecification } from './cdi-specification.ts';
import { type Configuration, changed, give, sealed } from './gpu-container.ts';
import { type GpuScripts, gpuScripts } from './gpu-scripts.ts';

let scripts: GpuScripts;
beforeEach(async () => {
  scripts = await gpuScripts();
});
afterEach(() => scripts[Symbol.asyncDispose]());

const mountOf = (place: string) =>
  changed(({ containerEdits: { mounts } }) => {
    Object.assign(mounts[0]!, { hostPath: place, containerPath: place });
  });

describe('give-devices', () => {
  it('asks nvidia-ctk for a specification of this VM', async () => {
    await give(scripts, cdiSpecification());
    expect(await readFile(scripts.path('asked'), 'utf8')).toBe(
      `--quiet cdi generate --format=json --output=${scripts.path('run')}/cdi.json\n`,
    );
  });

  it('adds exactly the devices of the specification, with the numbers that the nodes have', async () => {
    const { config, ...end } = await give(scripts, cdiSpecification());
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
    const { config } = await give(scripts, cdiSpecification());
    const before = sealed().mounts;
    expect(config!.mounts.slice(0, before.length)).toEqual(before);
    const added = config!.mounts.slice(before.length);
    expect(added).toHaveLength(4);
    for (const { source, destination, options } of added) {
      expect(destination).toBe(source);
      const firmware = source.endsWith('.bin');
      expect(options).toEqual(['bind', 'ro', 'nosuid', 'nodev', ...(firmware ? ['noexec'] : [])]);
    }
  });

  it('gives the container no socket of a program of the VM', async () => {
    const wanted = cdiSpecification().containerEdits.mounts.map(({ hostPath }) => hostPath);
    expect(wanted).toContain('/run/nvidia-persistenced/socket');
    const { config, status } = await give(scripts, cdiSpecification());
    expect(status).toBe(0);
    expect(config!.mounts.map(({ source }) => source).join('\n')).not.toContain('persistenced');
  });

  it('sets its variables over those of the image, and leaves the others', async () => {
    const { config } = await give(scripts, cdiSpecification());
    const env = config!.process.env;
    expect(env.filter((line) => line.startsWith('NVIDIA_VISIBLE_DEVICES='))).toEqual([
      'NVIDIA_VISIBLE_DEVICES=void',
    ]);
    expect(env).toEqual(expect.arrayContaining(['A=b', 'NVIDIA_DRIVER=1']));
  });

  it('runs its hooks and no others, without the one that looks into the image, and with an environment of our own', async () => {
    const { config } = await give(scripts, cdiSpecification());
    expect(config!.hooks.createContainer).toEqual(
      [
        ['create-symlinks', '--link', 'libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so'],
        ['update-ldcache', '--folder', '/usr/lib/x86_64-linux-gnu'],
        ['disable-device-node-modification'],
      ].map((words) => ({
        path: '/usr/bin/nvidia-cdi-hook',
        args: ['nvidia-cdi-hook', ...words],
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        timeout: 60,
      })),
    );
  });

  it('changes nothing else of what was sealed', async () => {
    const { config } = await give(scripts, cdiSpecification());
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
      scripts,
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
    const args = config!.hooks.createContainer.map((hook) => hook.args);
    expect(args[0]!.slice(0, 4)).toEqual(['nvidia-ctk', 'hook', 'create-symlinks', '--link']);
    expect(args[1]!.at(-1)).toBe('@/sbin/ldconfig.real');
    expect(args.flat()).not.toContain('chmod');
  });

  it.each([
    '/lib/firmware/nvidia/550.90.07/gsp_tu10x.bin',
    '/usr/bin/nvidia-cuda-mps-server',
    '/usr/lib/x86_64-linux-gnu/libcudadebugger.so.570.172.08',
    '/usr/lib/x86_64-linux-gnu/libEGL_nvidia.so.570.172.08',
    '/usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ptxjitcompiler.so.570.172.08',
    '/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.570.172.08',
    '/usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so',
    '/usr/share/nvidia/nvoptix.bin',
    '/usr/share/nvidia/files.d/sandboxutils-filelist.json',
    '/usr/share/vulkan/implicit_layer.d/nvidia_layers.json',
    '/usr/share/glvnd/egl_vendor.d/10_nvidia.json',
    '/etc/OpenCL/vendors/nvidia.icd',
  ])('takes the driver’s file %s', async (place) => {
    const { status, config } = await give(scripts, mountOf(place));
    expect(status).toBe(0);
    expect(config!.mounts.map(({ source }) => source)).toContain(place);
  });

  it('leaves no configuration of a run before', async () => {
    expect((await give(scripts, cdiSpecification())).config).toBeDefined();
    await rm(scripts.path('run/cdi.json'));
    expect((await give(scripts, '{')).config).toBeUndefined();
  });

  it('refuses where nvidia-ctk fails, with its words', async () => {
    await give(scripts, cdiSpecification());
    await scripts.program(
      'nvidia-ctk',
      'echo "failed to initialize NVML: \\"Driver Not Loaded\\"" >&2; exit 1',
    );
    expect(
      await scripts.start(
        'give-devices',
        scripts.path('config.json'),
        scripts.path('devices'),
        scripts.path('root'),
      ),
    ).toEqual({
      status: 1,
      said: 'FAILED E74: nvidia-ctk failed: failed to initialize NVML: Driver Not Loaded',
    });
  });
});
