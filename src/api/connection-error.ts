import { statSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { formatHost, type Host } from './host.js'

/** The daemon can't be used. The message says where it was expected, and what to do. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code = 'ENODAEMON'
}

/** Codes of errors in the TLS protocol and with certificates, see Node's tls and OpenSSL's x509_verify_cert_error. */
const TLS_CODE = /^(EPROTO|ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/

/** Whether a daemon is not there, or not yet. */
export function isAbsent(err: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED'].includes(errnoCode(err) ?? '')
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false
}

/**
 * Explains why a request has got no reply.
 * @param isSecure whether the connection uses TLS
 * @param program the name of the program in messages
 */
export function connectionError(
  err: unknown,
  host: Host,
  isSecure: boolean,
  program: string,
): ConnectionError {
  const place = formatHost(host)
  const reason = errnoReason(err)
  const code = errnoCode(err) ?? ''
  if (err instanceof Error && err.name === 'AbortError') {
    return new ConnectionError(
      `the daemon at ${place} does not answer: it may hang, or something else listens there; see its log, and restart it`,
    )
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new ConnectionError(
      `the daemon at ${place} is not open to this user: ${reason}; run as its owner, or join the group of the socket`,
    )
  }
  if (isSecure && (TLS_CODE.test(code) || code === 'ECONNRESET')) {
    return new ConnectionError(
      `TLS with the daemon at ${place} failed: ${reason}; check that it uses TLS, and that --tlscacert, --tlscert and --tlskey belong to its authority`,
    )
  }
  if (host.kind === 'tcp' && (code === 'ECONNRESET' || code.startsWith('HPE_'))) {
    return new ConnectionError(
      `the daemon at ${place} closed the connection: if it uses TLS, add --tlsverify with --tlscacert, --tlscert and --tlskey`,
    )
  }
  if (host.kind === 'unix' && code === 'ECONNREFUSED' && !isSocket(host.path)) {
    return new ConnectionError(
      `can't reach the daemon at ${place}: ${host.path} is not a socket; name another one with -H`,
    )
  }
  return new ConnectionError(
    `can't reach the daemon at ${place}: ${reason}; start it with "${program} daemon", or name another one with -H`,
  )
}
