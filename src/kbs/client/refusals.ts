import type { KbsReply } from './connection.ts';
import { KbsFailure, quotable } from './failure.ts';

/** What a request was for; some answers mean different things for different requests. */
export type Operation =
  | 'set-policy'
  | 'get-policy'
  | 'set-resource'
  | 'delete-resource'
  | 'set-reference-values'
  | 'get-reference-values';

/** A KBS's error body, `{"type": "…/errors/<variant>", "detail": "…"}`; undefined where an answer has none. */
export interface ErrorBody {
  variant: string;
  detail: string;
}

/** What an answer other than the expected one means, and what to do. Conditions left out hold always. */
export interface RefusalMeaning {
  id: string;
  status?: readonly number[];
  /** Name of the error body's type; `null`: the answer is no error of a KBS. */
  variant?: RegExp | null;
  detail?: RegExp;
  operations?: readonly Operation[];
  means: string;
  hint: string;
  /** Add the server's own words: for the few errors that have any to add. */
  quote?: true;
  /** A moment later the answer may be another. */
  retry?: true;
}

const clocks = 'set both clocks right (NTP); `cvm kbs check` shows the difference';
const credentials =
  'compare kbs.admin_key or kbs.admin_token with what the KBS has under [admin]: its public key, and from v0.21 on issuer, role and allowed_endpoints';

/**
 * Answers of every release from v0.14 to v0.21 and of what stands in front of them. The first that fits counts; the
 * order goes from the particular to the general. A KBS answers nearly everything with 401, so its error body decides.
 */
export const refusalMeanings: readonly RefusalMeaning[] = [
  {
    id: 'too-large',
    status: [413],
    means: 'the request is larger than this KBS takes',
    hint: 'raise http_server.payload_request_size in its configuration (2 MiB unless set)',
  },
  {
    id: 'cannot-delete',
    status: [405],
    operations: ['delete-resource'],
    means: 'it is older than v0.20 and cannot delete resources',
    hint: 'overwrite the resource instead',
  },
  {
    id: 'method',
    status: [405],
    means: 'it does not know this method at this address',
    hint: 'check that kbs.url leads to a KBS, and ends before /kbs/v0',
  },
  {
    id: 'no-such-plugin',
    status: [404],
    variant: /^PluginNotFound$/,
    operations: ['set-resource', 'delete-resource'],
    means: 'it has no plugin that stores resources',
    hint: 'add [[plugins]] with name = "resource" to its configuration',
  },
  {
    id: 'no-such-endpoint',
    status: [404],
    variant: /^PluginNotFound$/,
    means: 'it does not have this endpoint',
    hint: 'the KBS was built without its attestation service, or is of a release that this builder does not know',
  },
  {
    id: 'bad-path',
    status: [404],
    variant: /./,
    means: 'it calls the path malformed',
    hint: 'check kbs.resource_prefix, and that kbs.url ends before /kbs/v0',
  },
  {
    id: 'admin-clock',
    status: [401],
    variant: /^Admin/,
    detail: /expired|too old|not yet valid|ImmatureSignature|in the future|clock/i,
    means: "it takes the administrator's token for expired or not yet valid",
    hint: clocks,
  },
  {
    // From v0.21 on a refused token at the resource endpoint bears this name, and speaks of the configuration.
    id: 'admin-refused',
    status: [401],
    variant: /^AdminAuthInitialization$/,
    means:
      "it does not accept the administrator's credential here (its words about its configuration mislead)",
    hint: credentials,
  },
  {
    id: 'admin-refused',
    status: [401],
    variant: /^Admin/,
    means: "it does not accept the administrator's credential here",
    hint: credentials,
  },
  {
    id: 'policy-refused',
    status: [401],
    variant: /^(?:PolicyEngine|PolicyEngineError)$/,
    operations: ['set-policy'],
    means: 'it cannot load the policy; releases before v0.18 do not say why',
    hint: '`cvm policy lint` names the line',
    quote: true,
  },
  {
    id: 'policy-refused',
    status: [401],
    variant: /^ParsePolicyError$/,
    means: 'it cannot load the policy',
    hint: '`cvm policy lint` names the line',
    quote: true,
  },
  {
    id: 'policy-store',
    status: [401],
    variant: /^(?:PolicyEngine|PolicyEngineError)$/,
    means: 'its policy cannot be read or evaluated',
    hint: 'push the policy again: `cvm policy push`',
    quote: true,
  },
  {
    id: 'not-deleted',
    status: [401],
    variant: /^PluginInternalError$/,
    operations: ['delete-resource'],
    means: 'there is no such resource, or its store failed; it does not say which',
    hint: "look into the KBS's log",
  },
  {
    id: 'not-stored',
    status: [401],
    variant: /^PluginInternalError$/,
    operations: ['set-resource'],
    means:
      'the path is illegal for its store, or the store failed (a folder it cannot write, or Vault); it does not say which',
    hint: "look into the KBS's log; for Vault check vault_url, token, mount_path and that the engine is KV version 1",
  },
  {
    id: 'store',
    status: [401],
    variant: /^PluginInternalError$/,
    means: 'a part of it failed; it does not say why',
    hint: "look into the KBS's log",
  },
  {
    id: 'no-such-value',
    status: [401],
    variant: /^RvpsError$/,
    operations: ['get-reference-values'],
    means: 'it has no such reference value, or its store of reference values failed',
    hint: 'push again; then look into the log of the KBS, or of its reference value provider (RVPS)',
    quote: true,
  },
  {
    id: 'reference-values-refused',
    status: [401],
    variant: /^RvpsError$/,
    means: 'its reference value provider (RVPS) did not take the message',
    hint: 'look into the log of the KBS, or of its separate RVPS and whether that runs',
    quote: true,
  },
  {
    id: 'attestation-service',
    status: [401],
    variant: /^AttestationError$/,
    means: 'its attestation service failed',
    hint: 'look into the log of the KBS, or of its separate attestation service and whether that runs',
    quote: true,
  },
  {
    id: 'guest-request',
    status: [401],
    variant: /^(?:TokenNotFound|TokenVerifierError|PolicyDeny|JweError)$/,
    means: "it took the request for a guest's, not an administrator's",
    hint: 'the KBS is of a release that this builder does not know: use kbs.push: script with its own kbs-client',
    quote: true,
  },
  {
    id: 'refused',
    variant: /./,
    means: 'it refused',
    hint: "look into the KBS's log",
    quote: true,
  },
  {
    id: 'redirect',
    status: [300, 301, 302, 303, 307, 308],
    means: 'it sends elsewhere; redirects are not followed, since a credential would go along',
    hint: 'set kbs.url to the address of the KBS itself',
  },
  {
    id: 'proxy-auth',
    status: [401, 403, 407],
    variant: null,
    means: 'something in front of the KBS refused (a KBS gives its reason in JSON)',
    hint: 'let the proxy or gateway pass requests to /kbs/v0/ on with their Authorization header',
  },
  {
    id: 'busy',
    status: [408, 425, 429],
    means: 'it is asked too often or was too slow',
    hint: 'try again later',
    retry: true,
  },
  {
    id: 'broken',
    status: [500],
    means: 'it failed within (a KBS has no such answer of its own)',
    hint: "look into the log of the KBS's web server, or of the proxy in front of it",
    retry: true,
  },
  {
    id: 'gateway',
    status: [502, 503, 504],
    means: 'the proxy in front of it does not reach the KBS',
    hint: 'start the KBS, or correct its address in the proxy',
    retry: true,
  },
  {
    id: 'bad-request',
    status: [400],
    variant: null,
    means: 'it does not understand the request',
    hint: 'an http address may lead to a port for https, or a proxy alters requests: check kbs.url',
  },
  {
    id: 'not-a-kbs',
    variant: null,
    means: 'this is not the answer of a KBS',
    hint: 'check host, port and path of kbs.url; it ends before /kbs/v0',
  },
];

const errorType = /^https:\/\/github\.com\/confidential-containers\/kbs\/errors\/(\w{1,64})$/;

/** Reads an error body; see {@link ErrorBody}. */
export function errorBody({ status, body }: Pick<KbsReply, 'status' | 'body'>): ErrorBody | undefined {
  if (status === 200) return undefined;
  try {
    const { type, detail } = JSON.parse(body.toString('utf8')) as { type?: unknown; detail?: unknown };
    const variant = typeof type === 'string' ? errorType.exec(type)?.[1] : undefined;
    return variant === undefined ? undefined : { variant, detail: typeof detail === 'string' ? detail : '' };
  } catch {
    return undefined;
  }
}

/** The first meaning that fits; the table's last entries fit every answer. */
export function refusalMeaning(reply: KbsReply, operation: Operation): RefusalMeaning {
  const error = errorBody(reply);
  const fits = (meaning: RefusalMeaning) => {
    const { status, variant, detail, operations } = meaning;
    if (status !== undefined && !status.includes(reply.status)) return false;
    if (operations !== undefined && !operations.includes(operation)) return false;
    if (variant === null && error !== undefined) return false;
    if (variant instanceof RegExp && (error === undefined || !variant.test(error.variant))) return false;
    return detail === undefined || detail.test(error?.detail ?? '');
  };
  return refusalMeanings.find(fits) ?? refusalMeanings.at(-1)!;
}

/** The sentence for an answer that was not the expected one; without any of the secrets, whatever the server wrote. */
export function refusal(
  doing: string,
  reply: KbsReply,
  operation: Operation,
  secrets: readonly string[],
): KbsFailure {
  const { id, means, hint, quote } = refusalMeaning(reply, operation);
  const error = errorBody(reply);
  const answered =
    error === undefined
      ? `status ${reply.status}${reply.type === '' ? '' : `, ${quotable(reply.type, secrets)}`}`
      : `status ${reply.status}, ${error.variant}`;
  const words =
    quote && error !== undefined && error.detail !== '' ? `: ${quotable(error.detail, secrets)}` : '';
  const elsewhere =
    id === 'redirect' && reply.location !== undefined ? ` to ${quotable(reply.location, secrets)}` : '';
  return new KbsFailure(id, doing, `${means}${elsewhere} (${answered})${words}`, hint);
}
