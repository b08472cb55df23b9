/**
 * A CDI specification in the form that `nvidia-ctk cdi generate --format=json` of version 1.17 writes for one GPU without graphics:
 * field names and order as there, the list of libraries cut short. Written by hand: there is no GPU where the tests run.
 */
export function cdiSpecification() {
  const library = '/usr/lib/x86_64-linux-gnu';
  const mount = (path: string, ...options: string[]) => ({
    hostPath: path,
    containerPath: path,
    options: ['ro', 'nosuid', 'nodev', 'rbind', 'rprivate', ...options],
  });
  const hook = (...args: string[]) => ({
    hookName: 'createContainer',
    path: '/usr/bin/nvidia-cdi-hook',
    args: ['nvidia-cdi-hook', ...args],
    env: ['NVIDIA_CTK_DEBUG=false'],
  });
  const gpu = { deviceNodes: [{ path: '/dev/nvidia0' }] };
  return {
    cdiVersion: '0.5.0',
    kind: 'nvidia.com/gpu',
    devices: [
      { name: '0', containerEdits: gpu },
      { name: 'GPU-6f2d0c3e-5d6e-4a25-9e6c-3f0c3d0f7a11', containerEdits: gpu },
      { name: 'all', containerEdits: gpu },
    ],
    containerEdits: {
      env: ['NVIDIA_VISIBLE_DEVICES=void'],
      deviceNodes: [
        { path: '/dev/nvidia-uvm' },
        { path: '/dev/nvidia-uvm-tools' },
        { path: '/dev/nvidiactl' },
      ] as Record<string, unknown>[],
      hooks: [
        hook('create-symlinks', '--link', `libcuda.so.1::${library}/libcuda.so`),
        hook('enable-cuda-compat', '--host-driver-version=570.172.08'),
        hook('update-ldcache', '--folder', library),
        hook('disable-device-node-modification'),
      ] as Record<string, unknown>[],
      mounts: [
        mount(`${library}/libcuda.so.570.172.08`),
        mount(`${library}/libnvidia-ml.so.570.172.08`),
        mount('/usr/lib/firmware/nvidia/570.172.08/gsp_ga10x.bin', 'noexec'),
        mount('/usr/bin/nvidia-smi'),
        mount('/run/nvidia-persistenced/socket', 'noexec'),
      ] as Record<string, unknown>[],
    } as Record<string, unknown> & { [key in 'deviceNodes' | 'hooks' | 'mounts']: Record<string, unknown>[] },
  };
}

export type CdiSpecification = ReturnType<typeof cdiSpecification>;
