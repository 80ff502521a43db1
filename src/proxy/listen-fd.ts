import { fstatSync } from 'node:fs'
import type { Protocol } from '../ports/host-port.js'
import { ListenError } from './engine.js'
import { LISTEN_FD } from './inherited-descriptors.js'

const EXPECTED: Record<Protocol, string> = {
  tcp: 'a listening TCP socket',
  udp: 'a bound UDP socket',
  sctp: 'a listening SCTP socket',
}

/**
 * Checks that an inherited descriptor is a socket.
 * @throws ListenError
 */
export function checkListenFd(protocol: Protocol, fd: number): void {
  let isSocket: boolean
  try {
    isSocket = fstatSync(fd).isSocket()
  } catch {
    throw listenFdError(protocol, 'EBADF', 'file file+net listen-sock: fcntl: bad file descriptor')
  }
  if (isSocket) return
  throw listenFdError(
    protocol,
    'ENOTSOCK',
    'file file+net listen-sock: getsockopt: socket operation on non-socket',
  )
}

/** The error of an inherited unix socket. */
export function unixSocketError(protocol: Protocol): ListenError {
  return listenFdError(protocol, 'EINVAL', 'unexpected socket type for listener fd: unix')
}

/** The error of an inherited socket that can't be used. The reasons are Go's. */
export function listenFdError(
  protocol: Protocol,
  code = 'EINVAL',
  reason = 'file file+net listen-sock: invalid argument',
): ListenError {
  return new ListenError(
    code,
    reason,
    `with -use-listen-fd the parent hands over ${EXPECTED[protocol]} as descriptor ${LISTEN_FD}`,
  )
}
