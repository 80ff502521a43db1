import { errnoCode } from '../../linux/errno.js'
import { requireCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import { OPTION } from '../../linux/ffi/constants.js'
import { localAddress } from '../../linux/sockets/endpoints.js'
import type { EventQueue } from '../../linux/sockets/event-queue.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import { BACKLOG, openPortSocket, SOCKET_KINDS } from '../../linux/sockets/port-socket.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import { isPort } from '../../ports/host-port.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError, unixSocketError } from '../listen-fd.js'
import { listenIp, type PublishedPort } from '../published-port.js'
import type { Reactor } from './reactor.js'

/** The bound socket of a port. Unless it is UDP, it listens. */
export interface BoundSocket {
  readonly fd: number
  readonly address: SocketAddress
}

/**
 * Binds a port, or takes the socket that was handed over.
 * @throws ListenError
 */
export function bindPort(reactor: Reactor, port: PublishedPort): BoundSocket {
  const fd = port.listenFd === undefined ? bind(port) : adopt(reactor, port, port.listenFd)
  const address = localAddress(fd)
  if (!address) throw listenFdError(port.protocol)
  return { fd, address }
}

/**
 * Watches the socket of a port. If this fails, a socket that was bound here is closed.
 * @throws ListenError
 */
export function watchPort(
  { syscalls, poller }: Reactor,
  port: PublishedPort,
  fd: number,
  events: number,
  pollable: Pollable,
  queue: EventQueue,
): void {
  try {
    poller.watch(fd, events, pollable, queue)
  } catch (err) {
    if (port.listenFd === undefined) syscalls.close(fd)
    throw bindError(port, err)
  }
}

function bind(port: PublishedPort): number {
  try {
    if (!isPort(port.port)) throw invalidArgument()
    return openPortSocket({ ...port, ip: listenIp(port) })
  } catch (err) {
    throw bindError(port, err)
  }
}

function adopt({ syscalls }: Reactor, { protocol }: PublishedPort, fd: number): number {
  checkListenFd(protocol, fd)
  if (localAddress(fd) === undefined) throw unixSocketError(protocol)
  const { type, number } = SOCKET_KINDS[protocol]
  const isRightKind =
    syscalls.getOption(fd, OPTION.SO_TYPE) === type &&
    syscalls.getOption(fd, OPTION.SO_PROTOCOL) === number
  if (!isRightKind) throw listenFdError(protocol)
  if (protocol === 'udp' || syscalls.getOption(fd, OPTION.SO_ACCEPTCONN) === 1) return fd
  try {
    requireCheckedSyscalls().listen(fd, BACKLOG)
    return fd
  } catch (err) {
    throw listenFdError(protocol, errnoCode(err))
  }
}
