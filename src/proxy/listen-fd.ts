import { fstatSync } from 'node:fs'
import { ListenError } from './engine.js'
import type { Protocol } from './published-port.js'

const EXPECTED: Record<Protocol, string> = {
  tcp: 'a listening TCP socket',
  udp: 'a bound UDP socket',
  sctp: 'a listening SCTP socket',
}

/**
 * Makes sure that a descriptor which was handed over is a socket at all.
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

/** The error of one that has no address of a host. */
export function unixSocketError(protocol: Protocol): ListenError {
  return listenFdError(protocol, 'EINVAL', 'unexpected socket type for listener fd: unix')
}

/** The error of a listening socket handed over that can't be used. */
export function listenFdError(
  protocol: Protocol,
  code = 'EINVAL',
  reason = 'file file+net listen-sock: invalid argument',
): ListenError {
  return new ListenError(
    code,
    reason,
    `with -use-listen-fd the parent hands over ${EXPECTED[protocol]} as descriptor 4`,
  )
}
