import { z } from 'zod';
import { readSquashfsFile } from '../../host/squashfs.ts';

/** What the container is started with. */
export interface WorkloadSummary {
  args: string[];
  env: string[];
  cwd: string;
  user: { uid: number; gid: number };
}

/** Where the site layer keeps it (src/site/layer.ts). */
const path = 'usr/lib/cvm/workload/config.json';

const config = z.object({
  process: z.object({
    args: z.array(z.string()),
    env: z.array(z.string()).default([]),
    cwd: z.string(),
    user: z.object({ uid: z.int(), gid: z.int() }),
  }),
});

/** The OCI runtime configuration in a site layer. @param squashfs the layer */
export async function workloadOf(squashfs: string, signal?: AbortSignal): Promise<WorkloadSummary> {
  const text = await readSquashfsFile(squashfs, path, { limit: 4 * 2 ** 20, signal });
  const { process } = config.parse(JSON.parse(text.toString('utf8')));
  const { args, env, cwd, user } = process;
  return { args, env, cwd, user: { uid: user.uid, gid: user.gid } };
}
