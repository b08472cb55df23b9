import { KbsFailure } from './failure.ts';

/** What a failure below HTTP means. `retry`: nothing is lost by asking again a moment later. */
export interface TransportMeaning {
  id: string;
  /** Error codes of Node and OpenSSL. */
  codes: readonly string[];
  means: string;
  hint: string;
  retry?: true;
}

const pinned = 'the one pinned by kbs.ca';

/** Every known failure of a connection. The first entry with the error's code counts. */
export const transportMeanings: readonly TransportMeaning[] = [
  {
    id: 'refused',
    codes: ['ECONNREFUSED'],
    means: 'nothing listens at this address',
    hint: 'start the KBS, or correct host and port in kbs.url',
    retry: true,
  },
  {
    id: 'no-such-host',
    codes: ['ENOTFOUND'],
    means: 'its host name is unknown',
    hint: 'correct the host in kbs.url, or add the name to DNS or /etc/hosts',
  },
  {
    id: 'name-service',
    codes: ['EAI_AGAIN'],
    means: 'the name service does not answer',
    hint: 'check the network and /etc/resolv.conf',
    retry: true,
  },
  {
    id: 'unreachable',
    codes: ['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL'],
    means: 'there is no way to this address',
    hint: 'check network and firewall between this machine and the KBS',
    retry: true,
  },
  {
    id: 'timeout',
    codes: ['ETIMEDOUT', 'CVM_TIMEOUT'],
    means: 'it did not answer in time',
    hint: 'check that the KBS is not overloaded, and that no firewall drops the packets',
  },
  {
    id: 'dropped',
    codes: ['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'HPE_INVALID_EOF_STATE', 'ERR_STREAM_PREMATURE_CLOSE'],
    means: 'the connection was closed before the answer was complete',
    hint: 'look into the log of the KBS and of any proxy in front of it',
    retry: true,
  },
  {
    id: 'wrong-ca',
    codes: [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_SIGNATURE_FAILURE',
      'CERT_UNTRUSTED',
      'INVALID_CA',
    ],
    means: `its certificate was not issued by ${pinned}`,
    hint: "give kbs.ca the certificate authority of this KBS; if it was right before, somebody may be in the KBS's place",
  },
  {
    id: 'expired-certificate',
    codes: ['CERT_HAS_EXPIRED'],
    means: 'its certificate, or the one that issued it, has expired',
    hint: "renew the KBS's certificate under the same authority; check this machine's clock too",
  },
  {
    id: 'future-certificate',
    codes: ['CERT_NOT_YET_VALID'],
    means: 'its certificate is not valid yet',
    hint: "check this machine's clock and that of the machine which issued the certificate",
  },
  {
    id: 'wrong-name',
    codes: ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'],
    means: 'its certificate is for another name than the one in kbs.url',
    hint: 'use a name or address that the certificate has as subjectAltName, or have it issued with this one',
  },
  {
    id: 'bad-certificate',
    codes: [
      'INVALID_PURPOSE',
      'PATH_LENGTH_EXCEEDED',
      'CERT_CHAIN_TOO_LONG',
      'CERT_REVOKED',
      'CERT_REJECTED',
      'EE_KEY_TOO_SMALL',
      'CA_KEY_TOO_SMALL',
      'CA_MD_TOO_WEAK',
      'ERR_SSL_EE_KEY_TOO_SMALL',
      'ERR_SSL_CA_KEY_TOO_SMALL',
      'ERR_SSL_CA_MD_TOO_WEAK',
    ],
    means: 'its certificate is not fit for a server',
    hint: 'issue a certificate with the use "serverAuth" and a key of today\'s size',
  },
  {
    id: 'not-tls',
    codes: ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'],
    means: 'it does not speak TLS at this port',
    hint: 'correct the port in kbs.url, or let the KBS listen with TLS (http_server.certificate, private_key)',
  },
  {
    id: 'old-tls',
    codes: [
      'ERR_SSL_UNSUPPORTED_PROTOCOL',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
      'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
      'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
      'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
      'ERR_SSL_DH_KEY_TOO_SMALL',
    ],
    means: 'no version of TLS from 1.2 on, or no cipher, is common to both sides',
    hint: 'allow TLS 1.2 or 1.3 with present-day ciphers at the KBS or at the proxy in front of it',
  },
  {
    id: 'client-certificate',
    codes: [
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
      'ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED',
      'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_REQUIRED',
    ],
    means: 'it demands a client certificate, which a KBS does not',
    hint: 'let kbs.url lead to the KBS itself, not to a proxy that demands certificates',
  },
  {
    id: 'not-http',
    codes: [
      'HPE_INVALID_CONSTANT',
      'HPE_INVALID_VERSION',
      'HPE_INVALID_STATUS',
      'HPE_INVALID_HEADER_TOKEN',
      'HPE_INVALID_CONTENT_LENGTH',
      'HPE_INVALID_CHUNK_SIZE',
      'HPE_UNEXPECTED_CONTENT_LENGTH',
      'HPE_CR_EXPECTED',
      'HPE_LF_EXPECTED',
      'HPE_HEADER_OVERFLOW',
      'HPE_INTERNAL',
    ],
    means: 'it does not answer in HTTP',
    hint: 'correct scheme and port in kbs.url',
  },
  {
    id: 'answer-too-large',
    codes: ['CVM_ANSWER_TOO_LARGE'],
    means: 'its answer is larger than any of a KBS',
    hint: 'check that kbs.url leads to a KBS',
  },
];

const unknownFailure: TransportMeaning = {
  id: 'connection',
  codes: [],
  means: 'the connection failed',
  hint: 'check kbs.url, and the network between this machine and the KBS',
};

/** The meaning of an error thrown by a connection. */
export function transportMeaning(error: unknown): TransportMeaning {
  const code = codeOf(error);
  return transportMeanings.find(({ codes }) => codes.includes(code ?? '')) ?? unknownFailure;
}

/** The sentence for it; `doing` completes *cannot …* and names the address. */
export function transportFailure(doing: string, error: unknown): KbsFailure {
  const { id, means, hint } = transportMeaning(error);
  const code = codeOf(error);
  return new KbsFailure(
    id,
    doing,
    code?.startsWith('CVM_') ? means : `${means} (${code ?? 'unknown'})`,
    hint,
  );
}

/**
 * The code of a system or TLS error. Node calls every failure of a handshake EPROTO, and has OpenSSL's reason
 * in the message.
 */
export function codeOf(error: unknown): string | undefined {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code !== 'string') return undefined;
  const reason = code === 'EPROTO' ? /:SSL routines:[^:]*:([\w /]+):/.exec(String(message))?.[1] : undefined;
  return reason === undefined ? code : `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`;
}
