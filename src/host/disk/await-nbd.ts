import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../errors.ts';
import { connectNbd, type NbdDisk } from './nbd.ts';

export interface NbdServer {
  /** Path of the Unix socket that it is to listen on. */
  socket: string;
  /** Settled when the program ends, and rejected where it failed. */
  program: Promise<unknown>;
  /** The error to throw where it ended in place of serving. */
  explain: (why: unknown) => Error;
  signal?: AbortSignal | undefined;
}

/** How long, in ms, a server that broke off a connection has until it is not believed to be ending. */
const patience = 10_000;

/**
 * Connects to a qemu-nbd that was just started. It listens before it opens the image, so a connection may break off because the
 * image is in use or damaged: what the program then says is the cause.
 */
export async function awaitNbd({ socket, program, explain, signal }: NbdServer): Promise<NbdDisk> {
  const end: { why?: unknown } = {};
  const ended = program.then(
    () => {
      end.why = new Error('qemu-nbd ended early');
    },
    (error: unknown) => {
      end.why = error;
    },
  );
  for (;;) {
    signal?.throwIfAborted();
    if ('why' in end) throw explain(end.why);
    if ((await stat(socket).catch(() => undefined)) !== undefined) {
      try {
        return await connectNbd(socket);
      } catch (error) {
        // The socket's file is there a moment before qemu-nbd listens on it.
        if (!hasCode(error, 'ECONNREFUSED')) {
          await Promise.race([ended, delay(patience, undefined, { ref: false })]);
          if (!('why' in end)) throw error;
        }
      }
    }
    await delay(10);
  }
}
