import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../host/errors.ts';
import { defaultIdentity } from './admin-token.ts';
import { type ConnectionOptions, type KbsReply, type KbsRequest, openConnection } from './connection.ts';
import type { AdminCredential } from './credential.ts';
import { type Operation, refusal, refusalMeaning } from './refusals.ts';
import { codeOf, transportFailure, transportMeaning } from './transport.ts';

export interface KbsOptions extends ConnectionOptions {
  credential?: AdminCredential | undefined;
  /** The {@link AdminCredential.identity} to check a KBS with, where no credential is given. */
  identity?: AdminCredential['identity'];
  /** Milliseconds to wait before each repetition; their number is that of the repetitions. */
  retryAfterMs?: readonly number[];
  /** Told each repetition and why. */
  note?: (text: string) => void;
}

/** An administrator's request, before it is sent. */
export interface AdminRequest {
  operation: Operation;
  /** Completes *cannot … at <url>*. */
  doing: string;
  request: KbsRequest;
  /** Texts that no error may repeat, besides the token. */
  secrets?: readonly string[];
}

/** A KBS to administer. */
export interface Kbs extends Disposable {
  readonly url: string;
  readonly hasCredential: boolean;
  /** See {@link AdminCredential.identity}. */
  readonly identity: AdminCredential['identity'];
  /**
   * Sends a request with a fresh token.
   * @returns the answer with status 200.
   * @throws KbsFailure
   */
  ask(request: AdminRequest): Promise<KbsReply>;
  /**
   * Sends a harmless request: as it is, or with a fresh token of the administrator's.
   * @returns any answer.
   * @throws KbsFailure below HTTP.
   */
  probe(request: KbsRequest, as?: 'administrator'): Promise<KbsReply>;
}

/** Opens a KBS; nothing is sent yet. @throws UserError for an address that cannot be used. */
export function openKbs(options: KbsOptions): Kbs {
  const { credential, signal, retryAfterMs = [500, 2_000], note = () => {} } = options;
  const connection = openConnection(options);
  const { url } = connection;

  /**
   * Every request of an administrator states a whole new value, or reads, or deletes: done twice it ends in the same
   * state as done once. So what was lost on the way, or by a proxy, may be sent again. A refusal never is, nor is
   * what timed out, which has cost its time already.
   */
  async function patiently(
    doing: string,
    operation: Operation,
    send: () => Promise<KbsReply>,
  ): Promise<KbsReply> {
    for (const wait of [...retryAfterMs, undefined]) {
      let why: string;
      try {
        const reply = await send();
        const meaning = reply.status === 200 ? undefined : refusalMeaning(reply, operation);
        if (wait === undefined || !meaning?.retry) return reply;
        why = meaning.means;
      } catch (error) {
        signal?.throwIfAborted();
        // Only the system and TLS name their errors by a code; what has none is a defect of ours.
        if (error instanceof UserError || codeOf(error) === undefined) throw error;
        const { retry, means } = transportMeaning(error);
        if (wait === undefined || !retry) throw transportFailure(`${doing} at ${url}`, error);
        why = means;
      }
      note(`${url}: ${why}; asking again in ${wait / 1000} s`);
      await sleep(wait, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
    throw new Error('unreachable: the last turn returns or throws');
  }

  return {
    url,
    hasCredential: credential !== undefined,
    identity: credential?.identity ?? options.identity ?? defaultIdentity,
    async ask({ operation, doing, request, secrets = [] }) {
      let token: string | undefined;
      const reply = await patiently(doing, operation, () => {
        // A new token each time: the last one has aged while waiting.
        token = credential?.token();
        return connection.send({ ...request, token });
      });
      if (reply.status === 200) return reply;
      throw refusal(
        `${doing} at ${url}`,
        reply,
        operation,
        token === undefined ? secrets : [...secrets, token],
      );
    },
    probe: (request, as) =>
      patiently('ask the KBS', 'get-policy', () =>
        connection.send(as === undefined ? request : { ...request, token: credential?.token() }),
      ),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}
