import { OPTION } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import { errnoCode } from '../../linux/errno.js'
import { requireLibc } from '../../linux/libc.js'
import { BACKLOG, openPortSocket, SOCKET_KINDS } from '../../linux/port-socket.js'
import type { SocketName } from '../../linux/socket-address.js'
import { localAddress } from '../../linux/socket-name.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError, unixSocketError } from '../listen-fd.js'
import { hostAddressOf, isPort, type PublishedPort } from '../published-port.js'
import type { Kernel } from './kernel.js'

/** A port's socket, bound, and listening but for UDP. */
export interface BoundSocket {
  readonly fd: number
  readonly address: SocketName
}

/**
 * Binds a port, or takes the socket handed over.
 * @throws ListenError
 */
export function bindPort(kernel: Kernel, port: PublishedPort): BoundSocket {
  const fd = port.listenFd === undefined ? bind(port) : adopt(kernel, port, port.listenFd)
  const address = localAddress(fd)
  if (!address) throw listenFdError(port.protocol)
  return { fd, address }
}

/**
 * Watches a port's socket; one that was bound here is closed where that fails.
 * @throws ListenError
 */
export function watchPort(
  { calls, poller }: Kernel,
  port: PublishedPort,
  fd: number,
  events: number,
  pollable: Pollable,
): void {
  try {
    poller.add(fd, events, pollable)
  } catch (err) {
    if (port.listenFd === undefined) calls.close(fd)
    throw bindError(port, err)
  }
}

function bind(port: PublishedPort): number {
  const { protocol, hostPort } = port
  try {
    if (!isPort(hostPort)) throw invalidArgument()
    return openPortSocket(protocol, hostAddressOf(port), hostPort)
  } catch (err) {
    throw bindError(port, err)
  }
}

function adopt({ calls }: Kernel, { protocol }: PublishedPort, fd: number): number {
  checkListenFd(protocol, fd)
  if (localAddress(fd) === undefined) {
    throw unixSocketError(protocol)
  }
  const { type, number } = SOCKET_KINDS[protocol]
  if (
    calls.option(fd, OPTION.SO_TYPE) !== type ||
    calls.option(fd, OPTION.SO_PROTOCOL) !== number
  ) {
    throw listenFdError(protocol)
  }
  if (protocol === 'udp' || calls.option(fd, OPTION.SO_ACCEPTCONN) === 1) return fd
  try {
    requireLibc().listen(fd, BACKLOG)
    return fd
  } catch (err) {
    throw listenFdError(protocol, errnoCode(err))
  }
}
