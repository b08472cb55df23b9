import { connect, type Socket } from 'node:net';
import { MalformedError } from '../tar/bytes.ts';
import { type Blocks, requireInside } from './blocks.ts';

/*
 * A client of the Network Block Device protocol: fixed newstyle negotiation, NBD_OPT_GO, simple replies
 * (NetworkBlockDevice/nbd, doc/proto.md). Numbers are big-endian.
 */

const magic = {
  initial: 0x4e42_444d_4147_4943n,
  option: 0x4948_4156_454f_5054n,
  optionReply: 0x0003_e889_0455_65a9n,
  request: 0x2560_9513,
  simpleReply: 0x6744_6698,
} as const;
const fixedNewstyle = 1;
const noZeroes = 2;
const option = { go: 7 } as const;
const reply = { ack: 1, info: 3 } as const;
const command = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
/** Errors of a reply (proto.md, "Error values"). */
const noSpace = 28;
/** qemu-nbd takes up to 32 MiB. */
const largestRequest = 8 * 1024 * 1024;

/** Bytes of a socket in order; every wait ends when the socket does. */
class Incoming {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #have = 0;
  #wanted: { length: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#have += chunk.length;
      this.#serve();
    });
    const fail = (error: Error) => {
      this.#failure ??= error;
      this.#wanted?.reject(this.#failure);
      this.#wanted = undefined;
    };
    socket.on('error', fail);
    socket.on('close', () => fail(new MalformedError('qemu-nbd stopped reading it')));
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || this.#have < wanted.length) return;
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#have);
    const rest = all.subarray(wanted.length);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#have = rest.length;
    this.#wanted = undefined;
    wanted.resolve(all.subarray(0, wanted.length));
  }

  exactly(length: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#wanted = { length, resolve, reject };
      this.#serve();
    });
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }
}

/** A disk that is read, and written where its server lets it be, through a socket. */
export interface NbdDisk extends Blocks, AsyncDisposable {
  /**
   * Writes all the bytes from `offset` on; they are lasting only after {@link NbdDisk.flush}.
   * @throws DiskFullError where the server's own file system is full
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Returns once everything written so far would outlive a loss of power. */
  flush(): Promise<void>;
}

/** The file system that holds the image has no room for what was to be written. */
export class DiskFullError extends Error {
  override readonly name = 'DiskFullError';
}

/**
 * Connects to the default export of an NBD server on a Unix socket. Requests go out at once, and may be carried out in any order: whoever needs one
 * done before another waits for it.
 * @throws MalformedError where the server does not answer as the protocol says
 */
export async function connectNbd(path: string): Promise<NbdDisk> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const incoming = new Incoming(socket);
  try {
    const size = await negotiate(incoming);
    const ask = requests(incoming);
    return {
      size,
      async read(offset, length) {
        requireInside(size, offset, length);
        const pieces: Buffer[] = [];
        for (let at = offset; at < offset + length; at += largestRequest) {
          const count = Math.min(largestRequest, offset + length - at);
          pieces.push(await ask(command.read, at, count));
        }
        return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
      },
      async write(offset, bytes) {
        requireInside(size, offset, bytes.length);
        for (let at = 0; at < bytes.length; at += largestRequest) {
          const piece = bytes.subarray(at, at + largestRequest);
          await ask(command.write, offset + at, piece.length, piece);
        }
      },
      async flush() {
        await ask(command.flush, 0, 0);
      },
      async [Symbol.asyncDispose]() {
        socket.end(request(command.disconnect, 0, 0));
        socket.destroy();
      },
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** A request that was sent and not answered yet. */
interface Pending {
  type: number;
  offset: number;
  /** Bytes that follow a reply without an error. */
  following: number;
  resolve: (data: Buffer) => void;
  reject: (error: Error) => void;
}

/** Sends requests, and gives what follows the reply of each. The server answers as it gets done; a cookie tells which one it means. */
function requests(
  incoming: Incoming,
): (type: number, offset: number, length: number, data?: Uint8Array) => Promise<Buffer> {
  const waiting = new Map<number, Pending>();
  let cookies = 0;
  let receiving = false;
  let broken: Error | undefined;

  async function receive(): Promise<void> {
    if (receiving) return;
    receiving = true;
    try {
      while (waiting.size > 0) await receiveOne();
    } catch (error) {
      broken = error as Error;
      for (const { reject } of waiting.values()) reject(broken);
      waiting.clear();
    }
    receiving = false;
  }

  async function receiveOne(): Promise<void> {
    const answer = await incoming.exactly(16);
    const cookie = Number(answer.readBigUInt64BE(8));
    const asked = waiting.get(cookie);
    if (answer.readUInt32BE(0) !== magic.simpleReply || asked === undefined)
      throw new MalformedError('qemu-nbd gave no NBD reply');
    const error = answer.readUInt32BE(4);
    const data = error === 0 ? await incoming.exactly(asked.following) : undefined;
    waiting.delete(cookie);
    if (data !== undefined) asked.resolve(data);
    else if (error === noSpace)
      asked.reject(new DiskFullError('the file system that holds the image is full'));
    else {
      const what = asked.type === command.read ? 'read' : 'written';
      asked.reject(new MalformedError(`it cannot be ${what} at byte ${asked.offset} (error ${error})`));
    }
  }

  return (type, offset, length, data) =>
    new Promise((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      const cookie = ++cookies;
      waiting.set(cookie, { type, offset, following: type === command.read ? length : 0, resolve, reject });
      incoming.write(request(type, offset, length, cookie));
      if (data !== undefined) incoming.write(data);
      void receive();
    });
}

/** Request: magic, flags, type, cookie, offset, length. */
function request(type: number, offset: number, length: number, cookie = 0): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(magic.request, 0);
  bytes.writeUInt16BE(type, 6);
  bytes.writeBigUInt64BE(BigInt(cookie), 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

/** @returns the size of the export in bytes */
async function negotiate(incoming: Incoming): Promise<number> {
  const greeting = await incoming.exactly(18);
  const wrong = () => new MalformedError('qemu-nbd does not speak the NBD protocol');
  if (greeting.readBigUInt64BE(0) !== magic.initial || greeting.readBigUInt64BE(8) !== magic.option)
    throw wrong();
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(greeting.readUInt16BE(16) & (fixedNewstyle | noZeroes));
  incoming.write(flags);
  // NBD_OPT_GO with an empty name and no information requests.
  const go = Buffer.alloc(22);
  go.writeBigUInt64BE(magic.option, 0);
  go.writeUInt32BE(option.go, 8);
  go.writeUInt32BE(6, 12);
  incoming.write(go);
  for (let size: number | undefined; ; ) {
    const answer = await incoming.exactly(20);
    if (answer.readBigUInt64BE(0) !== magic.optionReply) throw wrong();
    const kind = answer.readUInt32BE(12);
    const data = await incoming.exactly(answer.readUInt32BE(16));
    if (kind === reply.info && data.readUInt16BE(0) === 0) size = Number(data.readBigUInt64BE(2));
    else if (kind === reply.ack && size !== undefined) return size;
    else if (kind !== reply.info) throw wrong();
  }
}
