import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { runtimeConfig } from '../../../src/workload/index.ts';
import { type CdiSpecification, cdiSpecification } from './cdi-specification.ts';
import type { GpuScripts } from './gpu-scripts.ts';

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

export const sealed = () =>
  runtimeConfig(
    {
      config: { config: { Cmd: ['/x'], Env: ['NVIDIA_VISIBLE_DEVICES=all', 'NVIDIA_DRIVER=1', 'A=b'] } },
      accounts: {},
      noFolders: [],
    } as never,
    { hostname: 'site-1', hostBin: true, gpu: true },
  ) as unknown as Configuration;

export interface Configuration {
  process: { env: string[] };
  mounts: { destination: string; source: string; options: string[] }[];
  hooks: { createContainer: { path: string; args: string[]; env?: string[] }[] };
  linux: {
    devices: { path: string; major: number; minor: number }[];
    resources: { devices: { allow: boolean; major?: number; minor?: number; access: string }[] };
  };
}

/** Runs give-devices with this specification, and gives back the configuration that crun would get. */
export async function give({ path, file, program, start }: GpuScripts, specification: unknown) {
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
export function changed(change: (specification: CdiSpecification) => void): CdiSpecification {
  const specification = cdiSpecification();
  change(specification);
  return specification;
}
