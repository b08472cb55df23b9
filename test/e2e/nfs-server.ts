import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';

/** An NFS server of this machine's loopback address, gone with its scope. */
export interface NfsServer extends AsyncDisposable {
  port: number;
  /** Begins to serve; until then connections are refused. */
  start(): void;
}

/**
 * Debian's nfs-ganesha with one export, `/training_data`: NFS version 4, readable and writable, without a privileged port.
 * @param folder what is exported
 * @param work a private folder
 */
export async function nfsServer(folder: string, work: string): Promise<NfsServer> {
  const port = await freePort();
  const state = join(work, 'ganesha');
  await mkdir(state);
  const configuration = join(state, 'ganesha.conf');
  await writeFile(
    configuration,
    `NFS_CORE_PARAM { Protocols = 4; NFS_Port = ${port}; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSV4 { Graceless = true; RecoveryRoot = ${state}; RecoveryBackend = fs; }
EXPORT { Export_Id = 1; Path = ${folder}; Pseudo = /training_data; Access_Type = RW; Squash = No_Root_Squash;
  SecType = sys; Protocols = 4; Transports = TCP; PrivilegedPort = false; FSAL { Name = VFS; } }
`,
  );
  const files = ['-f', configuration, '-L', join(state, 'log'), '-p', join(state, 'pid')];
  const stop = new AbortController();
  let running: Promise<unknown> | undefined;
  return {
    port,
    start() {
      const [program, ...args] = withMounts(['ganesha.nfsd', '-F', ...files], join(state, 'etc'));
      running ??= execa(program, args, {
        cancelSignal: stop.signal,
        forceKillAfterDelay: 5000,
        reject: false,
      });
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

/** The command, where there is an /etc/mtab: ganesha finds file systems by it, and a minimal Debian has none. */
function withMounts(command: [string, ...string[]], copy: string): [string, ...string[]] {
  if (existsSync('/etc/mtab')) return command;
  const script = `cp -a /etc "$0" && ln -s /proc/self/mounts "$0/mtab" && mount --bind "$0" /etc && exec "$@"`;
  return ['unshare', '--mount', 'sh', '-c', script, copy, ...command];
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
